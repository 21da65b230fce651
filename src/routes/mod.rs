//! One table that says what each route asks of a key, enforced from outside any router.

mod path;
mod table;

pub use self::table::{Otherwise, Route, RouteTable, RouteTableBuilder, RouteTableError, Rule};
