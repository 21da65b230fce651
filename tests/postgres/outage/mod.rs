//! Responses while Postgres cannot be reached: 503 in time, never 401 for a valid key, and without the database's own
//! words. Once Postgres is back, they are correct at once.

mod bounded;
mod connecting;
mod guarded;
mod losing;
mod read_only;
