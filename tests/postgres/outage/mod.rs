//! What a service says while its Postgres cannot be reached: 503 in time, never 401 for a good key, nothing of the
//! database's own words, and the right answers again as soon as it is back.

mod connecting;
mod guarded;
mod losing;
mod read_only;
