//! The layer: reads the credential, asks the store, and calls the inner service or replies.

mod body;
mod finish;
mod future;
mod grpc;
mod identity;
mod layer;
mod lookup;
mod preflight;
mod refusal;
#[cfg(feature = "transport")]
mod refuser;
mod reply;
mod service;
mod settings;

pub use self::body::ResponseBody;
pub use self::future::ResponseFuture;
pub use self::identity::ApiKey;
pub use self::layer::{ApiKeyLayer, InvalidRealm};
pub use self::refusal::{Refusal, RequestHead};
pub use self::service::ApiKeyService;

pub(crate) use self::identity::Anonymous;
#[cfg(feature = "transport")]
pub(crate) use self::refuser::Refuser;
#[cfg(feature = "throttle")]
pub(crate) use self::refuser::refuse_inside;
pub(crate) use self::reply::{Reply, take_ready};
