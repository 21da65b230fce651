//! The layer: reads the credential, asks the store, decides, and calls the inner service or rejects.
//!
//! `check.rs` has the steps of a request in their order. [`ApiKeyLayer`](crate::ApiKeyLayer) configures them,
//! [`ApiKeyService`] runs them, and [`ApiKey`](crate::ApiKey) is what a handler sees of them.

mod authenticator;
mod authorize;
mod body;
mod caller;
mod check;
mod config;
mod count;
mod credential;
mod enclosing;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod gate;
mod handler_rejection;
pub(crate) mod identity;
#[cfg(any(feature = "console", feature = "transport"))]
mod inside;
mod keyless;
pub(crate) mod layer;
mod legacy;
mod limit;
mod lookup;
#[cfg(feature = "axum")]
mod make_service;
mod offer;
mod origin;
mod per_thread;
mod preflight;
#[cfg(feature = "transport")]
mod rejector;
mod require;
mod response_headers;
mod service;
mod streams;
mod waiting;

pub use self::authenticator::Authenticator;
pub use self::body::ResponseBody;
pub use self::caller::Caller;
#[cfg(feature = "axum")]
pub use self::extract::MissingApiKey;
pub use self::future::ResponseFuture;
pub use self::gate::{GateFuture, GateService};
pub use self::handler_rejection::HandlerRejection;
pub use self::legacy::{LegacyFormat, LegacyFormatError, LegacyKey, LegacyKeysError, LegacyLimits, LegacyVerifier};
pub use self::limit::{Attempt, Limit, LimitCaller, LimitHeaders, LimitState, Limiter, Limits};
pub use self::require::RequireScopesLayer;
pub use self::service::ApiKeyService;
pub use self::streams::{EndStreamsBody, EndStreamsFuture, EndStreamsLayer, EndStreamsService, KeyEnded, StreamEnded};
pub use crate::credential::{AuthScheme, CredentialSource, InvalidAuthScheme};
pub use crate::identity::Identity;

#[cfg(feature = "routes")]
pub(crate) use self::authorize::{Authorizer, Entry, RouteClass};
#[cfg(feature = "transport")]
pub(crate) use self::gate::Gate;
#[cfg(feature = "throttle")]
pub(crate) use self::gate::take_ready;
#[cfg(any(feature = "console", feature = "throttle"))]
pub(crate) use self::inside::reject_inside;
#[cfg(feature = "throttle")]
pub(crate) use self::keyless::Keyless;
#[cfg(feature = "throttle")]
pub(crate) use self::limit::{Answered, Pending, ShownLimit, Unanswered, answer, log_unanswered};
#[cfg(feature = "transport")]
pub(crate) use self::rejector::Rejector;
