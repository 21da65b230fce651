//! What people write or pick today.

pub(crate) mod careful;
pub(crate) mod cases;
pub(crate) mod jwt;
pub(crate) mod record;
pub(crate) mod typical;

pub(crate) const READ: &str = "datasets.read";
pub(crate) const CREATE: &str = "exports.create";
