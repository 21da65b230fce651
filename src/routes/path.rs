//! Targets that two programs may read differently.

/// Returns whether an inner router, proxy or file system that decodes or normalizes paths could read another path than
/// the table does.
pub(super) fn is_ambiguous(path: &str) -> bool {
    // `*`, and the authority form of CONNECT.
    let no_path = !path.starts_with('/');
    no_path || has_odd_segment(path) || has_odd_byte(path.as_bytes())
}

/// An empty segment other than a trailing slash, `.` or `..`.
fn has_odd_segment(path: &str) -> bool {
    path.contains("//") || path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// A parameter, a backslash, or something encoded that a decoder would take for syntax or for plain text.
fn has_odd_byte(path: &[u8]) -> bool {
    path.iter().enumerate().any(|(at, byte)| match byte {
        b';' | b'\\' => true,
        b'%' => match path.get(at + 1..at + 3).and_then(decode) {
            None => true,
            Some(byte) => byte.is_ascii_alphanumeric() || b"-._~/\\;%".contains(&byte) || byte.is_ascii_control(),
        },
        _ => false,
    })
}

fn decode(digits: &[u8]) -> Option<u8> {
    let mut byte = [0];
    base16ct::mixed::decode(digits, &mut byte).ok()?;
    Some(byte[0])
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    fn ambiguous(target: &str) -> bool {
        is_ambiguous(target.parse::<Uri>().unwrap().path())
    }

    /// Cases: 25.
    #[test]
    fn target_with_two_readings_is_ambiguous() {
        for target in [
            "//admin",
            "/a//b",
            "/./admin",
            "/a/../admin",
            "/a/.",
            "/..",
            "/%61dmin",
            "/admin%2f",
            "/admin%2Fx",
            "/a%5cb",
            "/%2e%2e/admin",
            "/.%2e/admin",
            "/admin;x=1",
            "/admin%3bx",
            "/a%252fb",
            "/a%00",
            "/a%0a",
            "/a%",
            "/a%2",
            "/a%zz",
            "*",
            "example.com:80",
        ] {
            assert!(ambiguous(target), "{target}");
        }
        for target in [
            "/",
            "/admin",
            "/admin/",
            "/ADMIN",
            "/a.b/..c/d..",
            "/a%20b",
            "/caf%C3%A9",
            "/a?b=//../%2f",
            "/a%3Fb",
            "/a+b",
            "/~x",
            "/a:b@c",
        ] {
            assert!(!ambiguous(target), "{target}");
        }
    }
}
