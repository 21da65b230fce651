//! What clients send that is not one good key, through real sockets where the bytes matter: the documented reply,
//! the number of lookups, and no call of the service behind. Bodies that nobody reads are in `replies`.

#[path = "bad_input/absent.rs"]
mod absent;
#[path = "bad_input/altered.rs"]
mod altered;
#[path = "bad_input/counting.rs"]
mod counting;
#[path = "bad_input/flood.rs"]
mod flood;
#[path = "bad_input/identity.rs"]
mod identity;
#[path = "bad_input/keys.rs"]
mod keys;
#[path = "bad_input/repeated.rs"]
mod repeated;
#[path = "bad_input/sources.rs"]
mod sources;
#[path = "bad_input/unreadable.rs"]
mod unreadable;
#[path = "bad_input/world.rs"]
mod world;

#[path = "support/axum_server.rs"]
mod axum_server;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/http2_client.rs"]
mod http2_client;
#[path = "support/seen.rs"]
mod seen;
#[path = "support/server.rs"]
mod server;
#[path = "support/wire.rs"]
mod wire;
