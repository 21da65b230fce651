//! The tables of the report, each with the bars that it decides.

pub(crate) mod accepted;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod parts;
pub(crate) mod rejected;
pub(crate) mod router;
pub(crate) mod stalled;
pub(crate) mod threads;
