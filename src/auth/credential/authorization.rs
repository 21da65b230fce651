use crate::credential::AuthScheme;
use crate::key::KeyFormat;

/// Returns what follows the scheme and any number of spaces (RFC 9110, 11.4), if this value of `Authorization` is for the
/// layer: a bearer token that begins as no required format does belongs to another authenticator.
pub(super) fn token<'a>(scheme: &AuthScheme, formats: &[KeyFormat], value: &'a [u8]) -> Option<&'a [u8]> {
    let (name, rest) = value.split_at_checked(scheme.as_str().len())?;
    if !name.eq_ignore_ascii_case(scheme.as_str().as_bytes()) || !matches!(rest, [] | [b' ', ..]) {
        return None;
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = &rest[spaces..];
    let is_ours = *scheme != AuthScheme::BEARER
        || formats.is_empty()
        || formats.iter().any(|format| token.starts_with(format.prefix().as_bytes()));
    is_ours.then_some(token)
}
