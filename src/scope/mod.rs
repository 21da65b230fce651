//! Scopes: what a key may do, and what a route asks for.

mod access;
pub mod avala;
mod catalogue;
mod documented;
mod name;
mod requirement;
mod set;

pub use self::access::Access;
pub use self::catalogue::{Catalogue, UnknownScope};
pub use self::name::{InvalidScope, Scope};
pub use self::requirement::Requirement;
pub use self::set::ScopeSet;
