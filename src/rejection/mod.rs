//! Why a request is rejected, and the response to it.
//!
//! [`Rejection`](crate::Rejection) is the reason. Every response that rejects a request is made in one place, which knows
//! the layer's challenge, renderer, gRPC form and exposure.
//!
//! ```
//! use tower_api_key::Rejection;
//!
//! assert_eq!(Rejection::NotFound.status(), 404);
//! assert_eq!(Rejection::NotFound.to_response().body(), r#"{"detail":"Not found."}"#);
//! ```

mod challenge;
mod grpc;
mod headers;
pub(crate) mod reason;
mod rejected;
mod responder;
mod response;
mod unmet;

pub use self::challenge::{InvalidRealm, Realm};
pub use self::reason::{CredentialError, Outage};
pub use self::rejected::RejectedRequest;

pub(crate) use self::grpc::{content_type as grpc_content_type, trailers as grpc_trailers};
pub(crate) use self::responder::Responder;
pub(crate) use self::unmet::Unmet;
