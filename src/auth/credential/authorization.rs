use crate::credential::AuthScheme;

/// Returns what follows the scheme and any number of spaces (RFC 9110, 11.4) in this value of `Authorization`.
pub(super) fn token<'a>(scheme: &AuthScheme, value: &'a [u8]) -> Option<&'a [u8]> {
    let (name, rest) = value.split_at_checked(scheme.as_str().len())?;
    if !name.eq_ignore_ascii_case(scheme.as_str().as_bytes()) || !matches!(rest, [] | [b' ', ..]) {
        return None;
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    Some(&rest[spaces..])
}
