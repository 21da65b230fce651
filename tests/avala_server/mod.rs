#[macro_use]
mod stores;

mod audit;
mod client;
mod durable;
mod keys;
mod limits;
mod lists;
mod metrics;
mod mission_control;
mod openapi;
mod options;
mod passwords;
mod paths;
mod resources;
mod running;
mod server;
mod signup;
mod transport;

#[path = "../../examples/avala/passwords.rs"]
mod hashing;
#[path = "../pg/schema.rs"]
#[expect(dead_code, reason = "shared with tests of the store itself")]
mod schema;
#[path = "../../examples/avala/mission_control/sessions.rs"]
mod sessions;
#[path = "../pg/sql.rs"]
#[expect(dead_code, reason = "shared with tests of the store itself")]
mod sql;
