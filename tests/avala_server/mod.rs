mod audit;
mod client;
mod keys;
mod limits;
mod lists;
mod options;
mod passwords;
mod paths;
mod resources;
mod running;
mod server;
mod signup;

#[path = "../../examples/avala/passwords.rs"]
mod hashing;
#[path = "../../examples/avala/peer.rs"]
mod peer;
