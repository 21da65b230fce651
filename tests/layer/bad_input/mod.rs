//! What clients send that is not one good key, through real sockets where the bytes matter: the documented reply,
//! the number of lookups, and no call of the service behind. Bodies that nobody reads are in `replies`.

mod absent;
mod altered;
mod counting;
mod flood;
mod identity;
mod keys;
mod repeated;
mod sources;
mod unreadable;
mod world;
