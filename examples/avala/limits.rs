//! How many requests are answered in any minute: the documented limits.

use tower_api_key::auth::LimitCaller;
use tower_api_key::console::Operator;
use tower_api_key::request::RequestHead;
use tower_api_key::throttle::{Limit, LimitRule, RedisLimits, Subject, ThrottleLayer};
use tower_api_key::{ApiKeyLayer, observe};

use crate::options::RequestsPerMinute;
use crate::store::causes;

/// Where requests are counted.
#[derive(Clone)]
pub(crate) enum Limits {
    /// In this process. Each rule has a count of its own.
    Memory,
    /// In Redis, for all processes. Rules differ by their names.
    Redis(RedisLimits),
}

impl Limits {
    /// The place that `--limits` names. A URL may hold a password, so no message repeats it.
    pub(crate) fn at(url: &str) -> Result<Self, String> {
        match url {
            "memory:" => Ok(Self::Memory),
            _ if url.starts_with("redis://") || url.starts_with("rediss://") => {
                RedisLimits::new(url).map(Self::Redis).map_err(|error| format!("--limits: {}", causes(&error)))
            }
            _ => Err("--limits takes memory: or redis://..., and this is neither".into()),
        }
    }

    /// Counts the attempts of one client, those that fail as well.
    pub(crate) fn attempts(&self, name: &'static str) -> ThrottleLayer {
        ThrottleLayer::new(self.count(LimitRule::per_client(Limit::per_minute(5)).name(name)))
    }

    /// Counts the calls of each login.
    pub(crate) fn sessions(&self) -> ThrottleLayer {
        let account = |request: RequestHead<'_>, _: LimitCaller<'_>| {
            Some(Subject::text(request.extensions().get::<Operator>()?.actor()))
        };
        ThrottleLayer::new(self.count(LimitRule::by(Limit::per_minute(60), account).name("sessions")))
    }

    /// Counts the requests of each key, and those of each login.
    pub(crate) fn per_key(&self, keys: ApiKeyLayer, limit: RequestsPerMinute) -> ApiKeyLayer {
        match limit {
            RequestsPerMinute::AtMost(limit) => {
                let rule = LimitRule::per_key(Limit::per_minute(limit.get())).name("requests");
                keys.limit(self.count(rule))
            }
            RequestsPerMinute::Off => keys,
        }
    }

    fn count(&self, rule: LimitRule) -> LimitRule {
        let rule = rule.on_count(observe::metrics::record_limit);
        match self {
            Self::Memory => rule,
            Self::Redis(redis) => rule.store(redis.clone().with_prefix("avala")),
        }
    }
}
