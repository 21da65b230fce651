//! Reads `Cache-Control` (RFC 9111, 5.2), strictly: what is malformed opts into nothing.

use http::HeaderValue;

/// What the directives of a response allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storing {
    /// No cache stores it.
    Forbidden,
    /// Only the cache of one user stores it.
    Private,
    /// Shared caches may store it, which the handler has stated.
    Shared,
    /// Shared caches may store it, which the handler has not stated.
    Open,
}

impl Storing {
    pub(super) fn of<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let (mut private, mut shared) = (false, false);
        let mut malformed = false;
        for line in lines {
            let mut rest = line.as_bytes();
            while !rest.is_empty() {
                let Some((directive, after)) = next(rest) else {
                    malformed = true;
                    break;
                };
                rest = after;
                let (name, argument) = match directive.iter().position(|byte| *byte == b'=') {
                    Some(at) => (&directive[..at], Some(&directive[at + 1..])),
                    None => (directive, None),
                };
                let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
                match argument {
                    None if is("no-store") => return Self::Forbidden,
                    None if is("private") => private = true,
                    None if is("public") => shared = true,
                    Some(seconds) if is("s-maxage") && is_number(seconds) => shared = true,
                    _ => {}
                }
            }
        }
        if private {
            Self::Private
        } else if shared && !malformed {
            Self::Shared
        } else {
            Self::Open
        }
    }
}

/// Returns the first directive and what follows its comma. `None` if a quoted string does not end, or something follows
/// it.
fn next(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut quoted, mut closed, mut escaped) = (false, false, false);
    for (at, byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if quoted => (quoted, closed) = (false, true),
            _ if quoted => {}
            b',' => return Some((list[..at].trim_ascii(), &list[at + 1..])),
            b' ' | b'\t' => {}
            _ if closed => return None,
            b'"' => quoted = true,
            _ => {}
        }
    }
    (!quoted).then(|| (list.trim_ascii(), &[][..]))
}

fn is_number(argument: &[u8]) -> bool {
    let unquoted = argument.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let digits = unquoted.unwrap_or(argument);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}
