use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use tower_api_key::throttle::{Hit, SlidingWindow};
use tower_api_key::{ApiKey, KeyId, Rejection};

use crate::options::RequestsPerMinute;
use crate::peer::Peer;

const MINUTE: Duration = Duration::from_secs(60);
const SIGNUPS: NonZeroU32 = NonZeroU32::new(5).unwrap();

#[derive(Clone)]
pub(crate) struct Limits {
    signups: SlidingWindow<Peer>,
    requests: Option<SlidingWindow<KeyId>>,
}

impl Limits {
    pub(crate) fn new(requests: RequestsPerMinute) -> Self {
        let requests = match requests {
            RequestsPerMinute::AtMost(limit) => Some(SlidingWindow::new(limit, MINUTE)),
            RequestsPerMinute::Off => None,
        };
        Self { signups: SlidingWindow::new(SIGNUPS, MINUTE), requests }
    }

    /// Counts an attempt to sign up.
    pub(crate) fn signup(&self, address: IpAddr) -> Result<(), Rejection> {
        self.signups.hit(address.into()).rejection().map_or(Ok(()), Err)
    }
}

/// Counts a request of a key that was let in, and tells its owner how many are left. Stands inside the key layer.
pub(crate) async fn per_key(State(limits): State<Limits>, key: ApiKey, request: Request, next: Next) -> Response {
    let Some(requests) = &limits.requests else { return next.run(request).await };
    let hit = requests.hit(key.id());
    let mut response = match hit.rejection() {
        None => next.run(request).await,
        Some(rejection) => rejection.to_response().map(Body::from),
    };
    tell(hit, response.headers_mut());
    response
}

fn tell(hit: Hit, headers: &mut HeaderMap) {
    let reset = (SystemTime::now() + hit.reset_after()).duration_since(UNIX_EPOCH).unwrap_or_default();
    let reset = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
    headers.insert("x-ratelimit-limit", hit.limit().into());
    headers.insert("x-ratelimit-remaining", hit.remaining().into());
    headers.insert("x-ratelimit-reset", reset.into());
}
