//! One table that says what each route asks of a key, enforced from outside any router.

mod builder;
mod error;
mod markdown;
mod path;
mod route;
mod table;

pub use self::builder::RouteTableBuilder;
pub use self::error::{RouteProblem, RouteTableError};
pub use self::route::{Otherwise, Route, Rule};
pub use self::table::RouteTable;
