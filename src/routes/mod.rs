//! One table of what each route requires of a key, enforced outside any router.

mod builder;
mod enforced;
mod error;
mod markdown;
mod matcher;
#[cfg(feature = "openapi")]
mod openapi;
mod path;
mod pattern;
mod route;
mod table;
mod twins;

pub use self::builder::RouteTableBuilder;
pub use self::error::{RouteTableError, RouteTableErrorKind};
#[cfg(feature = "openapi")]
pub use self::openapi::RouteTableOpenApi;
pub use self::pattern::RoutePattern;
pub use self::route::{Route, Rule, Unlisted};
pub use self::table::RouteTable;
