//! What the events of this crate look like in traces and in metrics.

#[cfg(feature = "metrics")]
mod count;
#[cfg(feature = "tracing")]
mod trace;

#[cfg(feature = "metrics")]
pub use self::count::{count_change, count_decision, describe_metrics};
#[cfg(feature = "tracing")]
pub use self::trace::{trace_change, trace_decision};
