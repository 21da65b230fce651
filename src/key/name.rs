//! What the owner of a key may call it.

/// The most characters of a name.
pub(crate) const MAX_NAME_LEN: usize = 100;

/// Returns whether a key may have this name.
pub(crate) fn is_valid_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= MAX_NAME_LEN && !name.chars().any(char::is_control)
}
