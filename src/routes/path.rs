//! Targets that two programs may read differently.

use http::Version;

use crate::request::RequestHead;

/// Whether what stands further in could take this target for another one than the table does: a router that
/// decodes or normalises paths, a proxy that passes them on, or a file system.
pub(super) fn is_ambiguous(request: RequestHead<'_>) -> bool {
    let (uri, path) = (request.uri(), request.uri().path());
    // In HTTP/2 every target has an authority. Before, only those that are meant for a proxy.
    let absolute_form = request.version() < Version::HTTP_2 && uri.authority().is_some();
    // `*`, and the authority form of CONNECT.
    let no_path = !path.starts_with('/');
    absolute_form || no_path || is_ambiguous_path(path)
}

pub(super) fn is_ambiguous_path(path: &str) -> bool {
    has_odd_segment(path) || has_odd_byte(path.as_bytes())
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
    use http::Request;

    use super::*;

    fn ambiguous(target: &str) -> bool {
        is_ambiguous(RequestHead::new(&Request::builder().uri(target).body(()).unwrap()))
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
            "http://example.com/admin",
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

    #[test]
    fn http_2_authority_is_not_ambiguous() {
        let request = Request::builder().version(Version::HTTP_2).uri("https://example.com/admin").body(()).unwrap();
        assert!(!is_ambiguous(RequestHead::new(&request)));
    }
}
