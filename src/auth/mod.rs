//! The layer: reads the credential, asks the store, decides, and calls the inner service or rejects.
//!
//! [`ApiKeyLayer`](crate::ApiKeyLayer) configures these steps, and [`ApiKeyService`] runs them. A handler takes an
//! [`ApiKey`](crate::ApiKey), or a [`Caller`] where logins are accepted too. [`CredentialSource`] names where a request
//! carries its key, [`RequireScopesLayer`] requires scopes on one route, and [`EndStreamsLayer`] ends open streams with their
//! key.
//!
//! ```
//! use http::HeaderName;
//! use tower_api_key::auth::{CredentialSource, RequireScopesLayer};
//! use tower_api_key::{ApiKeyLayer, MemoryStore, Scope};
//!
//! let own_header = CredentialSource::header(HeaderName::from_static("x-api-key"));
//! let keys = ApiKeyLayer::new(MemoryStore::new()).sources([own_header, CredentialSource::bearer()]);
//! // Inside of `keys`, around the routes that read invoices.
//! let read = RequireScopesLayer::new(Scope::from_static("invoices.read"));
//! ```

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
pub(crate) use self::limit::{Answered, Pending, ShownLimit, Unanswered, answer, log_answered, log_unanswered};
#[cfg(feature = "transport")]
pub(crate) use self::rejector::Rejector;
