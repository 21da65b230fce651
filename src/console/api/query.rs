//! The query of a request.

use std::borrow::Cow;

use super::error::ApiError;

/// The parameters of a query, decoded.
pub(super) struct Query<'a> {
    raw: &'a str,
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    pub(super) fn parse(raw: &'a str) -> Result<Self, ApiError> {
        let pair = |pair: &'a str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        };
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(pair);
        let parameters = pairs.collect::<Option<_>>().ok_or(ApiError::bad_request("The query could not be read."))?;
        Ok(Self { raw, parameters })
    }

    /// Returns the value of a parameter: the last one, as links append theirs.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(given, _)| given == name).map(|(_, value)| &**value)
    }

    /// Returns a link to the page that begins at this cursor: the query as the client wrote it, with another cursor.
    pub(super) fn with_cursor(&self, cursor: impl std::fmt::Display) -> String {
        let kept = self.raw.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
        let kept: String = kept.flat_map(|pair| [pair, "&"]).collect();
        format!("?{kept}cursor={cursor}")
    }
}

/// Decodes a name or value of a form. A percent sign that begins no byte is kept; `None` for what is not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(text.into());
    }
    let (mut rest, mut bytes) = (text.as_bytes(), Vec::with_capacity(text.len()));
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

const fn digit(hexadecimal: u8) -> u8 {
    match hexadecimal {
        b'0'..=b'9' => hexadecimal - b'0',
        letter => (letter | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn query_is_decoded_as_another_library_does(raw in "([a-c=&+]|%[0-9a-fA-F]{2}|%){0,12}") {
            let pairs: Vec<_> = url::form_urlencoded::parse(raw.as_bytes()).collect();
            let lossy = pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}'));
            match Query::parse(&raw) {
                Ok(query) => prop_assert_eq!(query.parameters, pairs),
                Err(_) => prop_assert!(lossy),
            }
        }
    }

    #[test]
    fn link_keeps_the_query_but_the_cursor() {
        for (raw, link) in [
            ("", "?cursor=7"),
            ("limit=2&cursor=1&search=a+b", "?limit=2&search=a+b&cursor=7"),
            ("&cursor=1&", "?cursor=7"),
        ] {
            assert_eq!(Query::parse(raw).ok().unwrap().with_cursor(7), link);
        }
        let Ok(query) = Query::parse("limit=2&cursor=1&cursor=2") else { panic!("readable") };
        assert_eq!((query.get("cursor"), query.get("status")), (Some("2"), None));
        assert!(Query::parse("search=%ff").is_err());
    }
}
