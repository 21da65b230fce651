//! Keys of an old table, which are verified once and imported.

mod bounds;
mod faults;
mod flood;
mod life;
mod old_table;
