//! Targets that two programs may read differently.

/// How inner routers, proxies and file systems can read a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// In one way.
    Plain,
    /// In two ways: a character is encoded that a decoder takes for syntax or for plain text.
    Encoded,
    /// In two ways that no line can choose between.
    Ambiguous,
}

/// Reads a path once, from its start to its end.
pub(super) fn read(path: &str) -> Reading {
    match path.as_bytes() {
        path @ [b'/', rest @ ..] if is_simple(path, rest) => Reading::Plain,
        path @ [b'/', ..] => read_in_detail(path),
        // `*`, and the authority form of CONNECT.
        _ => Reading::Ambiguous,
    }
}

/// Returns whether a path has no character that can be read in two ways, and no segment that is empty or starts with a dot.
/// `rest` is the path without its first character.
fn is_simple(path: &[u8], rest: &[u8]) -> bool {
    // Without a branch, the compiler compares several characters at once.
    let is_odd = |(before, byte): (&u8, &u8)| {
        (*byte == b';') | (*byte == b'\\') | (*byte == b'%') | ((*before == b'/') & ((*byte == b'/') | (*byte == b'.')))
    };
    !path.iter().zip(rest).fold(false, |odd, pair| odd | is_odd(pair))
}

/// Reads a path that is not simple.
#[cold]
fn read_in_detail(path: &[u8]) -> Reading {
    let mut reading = Reading::Plain;
    for (at, byte) in path.iter().enumerate() {
        let tail = &path[at + 1..];
        match byte {
            b'/' if begins_odd_segment(tail) => return Reading::Ambiguous,
            b';' | b'\\' => return Reading::Ambiguous,
            b'%' => match escape(tail) {
                Escape::Plain => {}
                Escape::Odd => reading = Reading::Encoded,
                Escape::Invalid => return Reading::Ambiguous,
            },
            _ => {}
        }
    }
    reading
}

/// Returns whether the text would have a segment `.` or `..` after any number of decodings.
pub(super) fn hides_dot_segment(text: &str) -> bool {
    // A dot segment that is there after some decodings is there after all of them.
    let decoded = decode_fully(text.as_bytes());
    let mut segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
    // Some servers drop what follows a semicolon.
    segments.any(|segment| matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b"..")))
}

/// Whether an empty segment, `.` or `..` follows a slash. The slash at the end of a path is none.
fn begins_odd_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

/// What follows a percent sign.
#[derive(PartialEq, Eq)]
enum Escape {
    /// A character that must be encoded, and that no decoder takes for syntax.
    Plain,
    Odd,
    /// Two characters that are no digits, or a control character.
    Invalid,
}

fn escape(rest: &[u8]) -> Escape {
    match rest.get(..2).and_then(decode) {
        None => Escape::Invalid,
        Some(byte) if byte.is_ascii_control() => Escape::Invalid,
        Some(byte) if byte.is_ascii_alphanumeric() || b"-._~/\\;%".contains(&byte) => Escape::Odd,
        Some(_) => Escape::Plain,
    }
}

fn decode(digits: &[u8]) -> Option<u8> {
    let mut byte = [0];
    base16ct::mixed::decode(digits, &mut byte).ok()?;
    Some(byte[0])
}

/// Decodes a text until nothing is left to decode, in one pass: a client may have encoded it thousands of times.
fn decode_fully(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    for byte in text {
        decoded.push(*byte);
        // What was decoded may complete another escape.
        while let [.., b'%', high, low] = decoded[..]
            && let Some(byte) = decode(&[high, low])
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push(byte);
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use proptest::prelude::*;

    use super::*;

    fn decode_once(text: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            let escaped = tail.get(..2).filter(|_| *byte == b'%').and_then(decode);
            decoded.push(escaped.unwrap_or(*byte));
            rest = if escaped.is_some() { &tail[2..] } else { tail };
        }
        decoded
    }

    proptest! {
        #[test]
        fn text_decoded_fully_is_decoded_again_and_again(text in "[%25fe.;/\\\\0c]{0,24}") {
            let mut expected = text.as_bytes().to_vec();
            loop {
                let next = decode_once(&expected);
                if next == expected {
                    break;
                }
                expected = next;
            }
            prop_assert_eq!(decode_fully(text.as_bytes()), expected);
        }
    }

    /// Cases: 152.
    ///
    /// A minute of the processor, if each layer were a pass.
    #[test]
    fn text_encoded_thousands_of_times_is_one_pass() {
        let text = |rest: &str| format!("%{}{rest}", "25".repeat(32_000));
        assert!(!hides_dot_segment(&text("")));
        assert!(hides_dot_segment(&text("2e")));
    }

    proptest! {
        /// The first look at a path finds whatever the second one would.
        #[test]
        fn simple_path_is_plain(path in r"/([/.;%\\]|[a-c2]{1,12}/?){0,9}") {
            if is_simple(path.as_bytes(), &path.as_bytes()[1..]) {
                prop_assert_eq!(read_in_detail(path.as_bytes()), Reading::Plain);
            }
        }
    }

    fn reading(target: &str) -> Reading {
        read(target.parse::<Uri>().unwrap().path())
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
            "/admin;x=1",
            "/a%00",
            "/a%0a",
            "/a%",
            "/a%2",
            "/a%zz",
            "*",
            "example.com:80",
        ] {
            assert_eq!(reading(target), Reading::Ambiguous, "{target}");
        }
        for target in
            ["/%61dmin", "/admin%2f", "/admin%2Fx", "/a%5cb", "/%2e%2e/admin", "/.%2e/admin", "/admin%3bx", "/a%252fb"]
        {
            assert_eq!(reading(target), Reading::Encoded, "{target}");
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
            assert_eq!(reading(target), Reading::Plain, "{target}");
        }
    }

    /// Cases: 152.
    #[test]
    fn encoded_dot_segment_is_found_at_any_depth() {
        for text in
            ["%2e%2e", ".%2E", "%2e", "a%2f..%2fb", "a%5c%2e%2e", "%252e%252e", "%25252e.", "..%3bx", "a%252f.."]
        {
            assert!(hides_dot_segment(text), "{text}");
        }
        for text in ["a", "a%20", "a%2Fb", "100%25", "%7Eb", "a..b%2f", "%252f%61"] {
            assert!(!hides_dot_segment(text), "{text}");
        }
    }
}
