//! Limits as the layer sees them: how many requests, who counts them, and what a response shows of them.

mod amount;
mod headers;
mod limiter;
mod number;
mod state;
mod text;
mod waiting;

pub use self::amount::{Limit, Limits};
pub use self::headers::LimitHeaders;
pub use self::limiter::{Attempt, LimitCaller, Limiter};
pub use self::state::LimitState;

pub(crate) use self::headers::ShownLimit;
pub(crate) use self::waiting::{Answered, Unanswered, answer, log_answered, log_unanswered};

pub(crate) use self::limiter::Pending;
pub(in crate::auth) use self::limiter::both;
