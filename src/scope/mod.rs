//! Scopes: the access of a key, and the requirement of a route.
//!
//! [`Scope`], [`Access`] and [`Requirement`] are at the root of the crate.
//!
//! ```
//! use tower_api_key::{Access, Requirement, Scope};
//!
//! const READ: Scope = Scope::from_static("invoices.read");
//! let reader = Access::scoped([READ]);
//! assert!(Requirement::from(READ).is_met_by(&reader));
//! assert!(!Requirement::full_access().is_met_by(&reader));
//! // No scopes grant nothing but what any key may do.
//! assert!(!Requirement::from(READ).is_met_by(&Access::scoped([])));
//! ```

pub(crate) mod access;
mod aliases;
pub mod avala;
mod catalog;
pub(crate) mod name;
pub(crate) mod requirement;
mod set;

pub(crate) use self::access::Access;
pub use self::aliases::ScopeAliases;
pub use self::catalog::{ScopeCatalog, UnknownScope};
pub use self::name::InvalidScope;
pub(crate) use self::name::Scope;
pub(crate) use self::requirement::Requirement;
pub use self::set::ScopeSet;
