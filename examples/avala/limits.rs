//! How many requests are answered in any minute: the documented limits.

use tower_api_key::throttle::{Limit, LimitRule, ThrottleLayer};
use tower_api_key::{ApiKeyLayer, observe};

use crate::options::RequestsPerMinute;

/// Counts the attempts of one client, those that fail as well. Each of these layers has a count of its own.
pub(crate) fn attempts(name: &'static str) -> ThrottleLayer {
    let rule = LimitRule::per_client(Limit::per_minute(5)).name(name);
    ThrottleLayer::new(rule.on_count(observe::metrics::record_limit))
}

/// Counts the requests of each key.
pub(crate) fn per_key(keys: ApiKeyLayer, limit: RequestsPerMinute) -> ApiKeyLayer {
    match limit {
        RequestsPerMinute::AtMost(limit) => {
            let rule = LimitRule::per_key(Limit::per_minute(limit.get())).name("requests");
            keys.limit(rule.on_count(observe::metrics::record_limit))
        }
        RequestsPerMinute::Off => keys,
    }
}
