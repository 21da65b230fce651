//! The grammar of `Forwarded` (RFC 7239, 4).

use std::borrow::Cow;

/// What one proxy saw of the one before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// `for`, without its quotes.
    pub(super) node: Option<Cow<'a, [u8]>>,
    /// Whether `proto` is `https`.
    pub(super) https: bool,
}

/// The elements of one header line. `None` when it does not follow the grammar.
pub(super) fn elements(line: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut rest = Rest(line);
    let mut elements = Vec::new();
    loop {
        elements.push(rest.element()?);
        match rest.next() {
            None => return Some(elements),
            Some(b',') => {}
            Some(_) => return None,
        }
    }
}

/// What is left to read of a line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn element(&mut self) -> Option<Element<'a>> {
        let (mut node, mut proto) = (None, None);
        loop {
            self.skip_blanks();
            if !matches!(self.peek(), None | Some(b',' | b';')) {
                let (name, value) = self.pair()?;
                let place = match name {
                    _ if name.eq_ignore_ascii_case(b"for") => &mut node,
                    _ if name.eq_ignore_ascii_case(b"proto") => &mut proto,
                    _ => &mut None,
                };
                // Neither may be there twice.
                if place.replace(value).is_some() {
                    return None;
                }
                self.skip_blanks();
            }
            if self.peek() != Some(b';') {
                let https = proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"));
                return Some(Element { node, https });
            }
            self.next();
        }
    }

    fn pair(&mut self) -> Option<(&'a [u8], Cow<'a, [u8]>)> {
        let name = self.token()?;
        if self.next() != Some(b'=') {
            return None;
        }
        let value = if self.peek() == Some(b'"') { self.quoted()? } else { self.token()?.into() };
        Some((name, value))
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().take_while(|&&byte| is_token(byte)).count();
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    fn quoted(&mut self) -> Option<Cow<'a, [u8]>> {
        self.next();
        let mut value = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(value.into()),
                b'\\' => value.push(self.next()?),
                byte => value.push(byte),
            }
        }
    }

    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Vec<(Option<String>, bool)>> {
        let text = |node: Cow<'_, [u8]>| String::from_utf8(node.into()).unwrap();
        let elements = elements(line.as_bytes())?;
        Some(elements.into_iter().map(|element| (element.node.map(text), element.https)).collect())
    }

    #[test]
    fn valid_forwarded_is_read() {
        let node = |text: &str| Some(text.to_owned());
        for (line, expected) in [
            ("for=192.0.2.1", vec![(node("192.0.2.1"), false)]),
            ("For=a;PROTO=HTTPS;by=b;host=c", vec![(node("a"), true)]),
            (r#"for="[2001:db8::1]:80""#, vec![(node("[2001:db8::1]:80"), false)]),
            (r#"proto="https""#, vec![(None, true)]),
            (r#"for="a\"b\\c, d;e""#, vec![(node("a\"b\\c, d;e"), false)]),
            ("for=a, for=b ,\tfor=c", vec![(node("a"), false), (node("b"), false), (node("c"), false)]),
            ("for=a ; proto=https", vec![(node("a"), true)]),
            (";;for=a;", vec![(node("a"), false)]),
            ("for=a,,", vec![(node("a"), false), (None, false), (None, false)]),
            ("", vec![(None, false)]),
            ("x=1;x=2;proto=http", vec![(None, false)]),
        ] {
            assert_eq!(read(line), Some(expected), "{line}");
        }
    }

    /// Cases: 42.
    #[test]
    fn invalid_forwarded_is_rejected() {
        for line in [
            "for",
            "for=",
            "=a",
            "for =a",
            "for= a",
            "for=a b",
            "for=[::1]",
            "for=a:1",
            "for=\"a",
            "for=\"a\\",
            "for=\"a\"b",
            "for=a;for=b",
            "proto=https;proto=https",
            "proto=https;PROTO=http",
            "for=a\"b\"",
            "for=\u{e9}",
            "for=a/b",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
