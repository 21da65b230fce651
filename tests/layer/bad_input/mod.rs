//! What clients send that is not one valid key, through real sockets where the bytes matter: the documented response,
//! the number of lookups, and no call of the inner service. Unread bodies are in `replies`.

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
