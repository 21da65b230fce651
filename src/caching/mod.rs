//! What a shared cache may do with a response that may depend on a credential.
//!
//! A shared cache that stores the response to one client may serve it to another one, or to a client without a valid key.
//! So `Cache-Control` gets `private`, unless the handler has opted into sharing with `public` or `s-maxage`, or has
//! forbidden storing with `no-store`; and `Vary` names the headers that a credential may be in.

mod directives;

use std::sync::{Arc, LazyLock};

use http::header::{CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, VARY};

use self::directives::Storing;
use crate::text::TitleCase;

/// The request headers that a credential may be in.
#[derive(Clone, Debug, Default)]
pub(crate) struct CredentialHeaders(Option<Arc<[HeaderName]>>);

/// The default.
static AVALA: [HeaderName; 1] = [HeaderName::from_static("x-avala-api-key")];

impl CredentialHeaders {
    /// The default.
    pub(crate) const AVALA: Self = Self(None);

    pub(crate) const fn is_default(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn new(names: &[HeaderName]) -> Self {
        Self(Some(names).filter(|names| *names != AVALA).map(Arc::from))
    }

    pub(crate) fn names(&self) -> &[HeaderName] {
        self.0.as_deref().unwrap_or(&AVALA)
    }
}

/// Keeps shared caches from serving a response with these headers to another client.
#[inline]
pub(crate) fn protect(headers: &mut HeaderMap, credentials: &CredentialHeaders) {
    static PRIVATE: LazyLock<HeaderMap> =
        LazyLock::new(|| HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("private"))]));
    if headers.is_empty() {
        // A copy of a prepared map costs less than the first header of a new one.
        *headers = PRIVATE.clone();
    } else {
        protect_and(headers, credentials, |_| {});
    }
}

/// The same, and adds headers that caches do not read.
pub(crate) fn protect_and(headers: &mut HeaderMap, credentials: &CredentialHeaders, add: impl FnOnce(&mut HeaderMap)) {
    let speaks = headers.keys().any(speaks_to_caches);
    add(headers);
    if speaks {
        restrict(headers, credentials);
    } else {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

/// Returns whether a cache reads this header to decide about storing.
fn speaks_to_caches(name: &HeaderName) -> bool {
    [CACHE_CONTROL, ETAG, EXPIRES, LAST_MODIFIED].contains(name) || Override::of(name).is_some()
}

#[cold]
fn restrict(headers: &mut HeaderMap, credentials: &CredentialHeaders) {
    if headers.get_all(CACHE_CONTROL).iter().eq(["private"])
        && headers.keys().filter(|name| speaks_to_caches(name)).count() == 1
    {
        // As an inner layer sets it.
        return;
    }
    let storing = Storing::of(headers.get_all(CACHE_CONTROL));
    if storing == Storing::Open {
        prepend(headers, &CACHE_CONTROL, "private");
    }
    let mut may_be_stored = storing != Storing::Forbidden;
    // A handler that shares the response in `Cache-Control` shares it with every cache.
    let overrides: Vec<_> = headers.keys().filter_map(|name| Some((name.clone(), Override::of(name)?))).collect();
    for (name, kind) in overrides {
        if storing != Storing::Shared {
            kind.restrict(headers, &name);
        }
        may_be_stored |= headers.contains_key(&name);
    }
    if may_be_stored {
        vary(headers, credentials.names());
    }
}

/// A header that some caches heed in place of `Cache-Control`.
#[derive(Clone, Copy)]
enum Override {
    /// `CDN-Cache-Control` (RFC 9213) and those of one vendor.
    Targeted,
    /// `Surrogate-Control`, and `Edge-Control` of Akamai, which have `no-store` and no `private`.
    Surrogate,
    /// `X-Accel-Expires` of nginx: how long to store.
    Expires,
}

impl Override {
    fn of(name: &HeaderName) -> Option<Self> {
        match name.as_str() {
            "surrogate-control" | "edge-control" => Some(Self::Surrogate),
            "x-accel-expires" => Some(Self::Expires),
            name if name.ends_with("cdn-cache-control") => Some(Self::Targeted),
            _ => None,
        }
    }

    fn restrict(self, headers: &mut HeaderMap, name: &HeaderName) {
        match self {
            Self::Targeted if Storing::of(headers.get_all(name)) == Storing::Open => prepend(headers, name, "private"),
            Self::Surrogate if Storing::of(headers.get_all(name)) != Storing::Forbidden => {
                prepend(headers, name, "no-store");
            }
            Self::Expires => drop(headers.remove(name)),
            Self::Targeted | Self::Surrogate => {}
        }
    }
}

/// Adds a directive in front of the first value: what follows may be malformed.
fn prepend(headers: &mut HeaderMap, name: &HeaderName, directive: &'static str) {
    match headers.get_mut(name) {
        Some(first) if !first.is_empty() => *first = joined([directive.as_bytes(), first.as_bytes()]),
        Some(first) => *first = HeaderValue::from_static(directive),
        None => drop(headers.insert(name, HeaderValue::from_static(directive))),
    }
}

/// Names these headers in `Vary`, on one line: some caches read no second one.
fn vary(headers: &mut HeaderMap, names: &[HeaderName]) {
    let lines = headers.get_all(VARY);
    let listed = || lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if listed().any(|name| name == b"*") {
        return;
    }
    let is_listed = |name: &HeaderName| listed().any(|listed| listed.eq_ignore_ascii_case(name.as_str().as_bytes()));
    let missing = names.iter().filter(|name| !is_listed(name)).map(|name| TitleCase(name).to_string());
    let missing: Vec<String> = missing.collect();
    if !missing.is_empty() {
        let others = lines.iter().map(HeaderValue::as_bytes).filter(|line| !line.is_empty());
        let value = joined(missing.iter().map(String::as_bytes).chain(others));
        headers.insert(VARY, value);
    }
}

fn joined<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> HeaderValue {
    let values: Vec<&[u8]> = values.into_iter().collect();
    HeaderValue::from_bytes(&values.join(&b", "[..])).expect("parts of header values with commas are one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protected(lines: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        protect(&mut headers, &CredentialHeaders::default());
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort_unstable();
        lines
    }

    const VARIES: &str = "vary: X-Avala-Api-Key";

    /// Cases: 139.
    #[test]
    fn private_is_added_unless_handler_decides() {
        assert_eq!(protected(&[]), ["cache-control: private"]);
        assert_eq!(protected(&[("cache-control", "private")]), ["cache-control: private"]);
        assert_eq!(protected(&[("x-other", "1")]), ["cache-control: private", "x-other: 1"]);
        // Cache-Control of the handler, and of the response.
        for (set, expected) in [
            ("", "private"),
            ("max-age=60", "private, max-age=60"),
            ("Must-Revalidate, max-age=60", "private, Must-Revalidate, max-age=60"),
            ("no-cache", "private, no-cache"),
            ("no-cache=\"x\", private=\"set-cookie\"", "private, no-cache=\"x\", private=\"set-cookie\""),
            ("private=\"set-cookie\"", "private, private=\"set-cookie\""),
            ("x=\"no-store\"", "private, x=\"no-store\""),
            ("x=\"a, public, s-maxage=1\"", "private, x=\"a, public, s-maxage=1\""),
            ("x=\"a\\\", public, \\\"\", max-age=60", "private, x=\"a\\\", public, \\\"\", max-age=60"),
            ("public, x=\"unterminated", "private, public, x=\"unterminated"),
            ("public, x=\"a\"b", "private, public, x=\"a\"b"),
            ("public=1", "private, public=1"),
            ("no-store=1", "private, no-store=1"),
            ("s-maxage", "private, s-maxage"),
            ("s-maxage=", "private, s-maxage="),
            ("s-maxage=-1", "private, s-maxage=-1"),
            ("s-maxage=1.5", "private, s-maxage=1.5"),
            ("s-maxage =60", "private, s-maxage =60"),
            ("publicx", "private, publicx"),
            ("public", "public"),
            ("max-age=60,PUBLIC", "max-age=60,PUBLIC"),
            ("max-age=60 ,\t S-MaxAge=60", "max-age=60 ,\t S-MaxAge=60"),
            ("s-maxage=\"60\"", "s-maxage=\"60\""),
            (",, public,", ",, public,"),
            ("Private", "Private"),
            ("private, max-age=60", "private, max-age=60"),
            ("public, private", "public, private"),
        ] {
            let expected = format!("cache-control: {expected}");
            assert_eq!(protected(&[("cache-control", set)]), [&*expected, VARIES], "{set}");
        }
        for forbidden in ["no-store", "NO-STORE, max-age=60", "public, no-store", "max-age=60, no-store"] {
            let expected = format!("cache-control: {forbidden}");
            assert_eq!(protected(&[("cache-control", forbidden), ("etag", "1")]), [&*expected, "etag: 1"]);
        }
    }

    /// Cases: 139.
    #[test]
    fn several_cache_control_lines_are_one_list() {
        let two = |first, second| protected(&[("cache-control", first), ("cache-control", second)]);
        let expected = ["cache-control: must-revalidate", "cache-control: private, max-age=60", VARIES];
        assert_eq!(two("max-age=60", "must-revalidate"), expected);
        assert_eq!(two("max-age=60", "public"), ["cache-control: max-age=60", "cache-control: public", VARIES]);
        assert_eq!(two("max-age=60", "no-store"), ["cache-control: max-age=60", "cache-control: no-store"]);
        let expected = ["cache-control: private, x=\"open", "cache-control: public", VARIES];
        assert_eq!(two("x=\"open", "public"), expected, "the quote does not hide the directive");
    }

    /// Cases: 139.
    #[test]
    fn other_cache_headers_do_not_share_a_response() {
        for name in ["expires", "etag", "last-modified"] {
            let kept = format!("{name}: x");
            assert_eq!(protected(&[(name, "x")]), ["cache-control: private", &*kept, VARIES]);
        }
        for name in ["cdn-cache-control", "cloudflare-cdn-cache-control"] {
            for (set, expected) in [
                ("max-age=60", "private, max-age=60"),
                ("public, max-age=60", "public, max-age=60"),
                ("no-store", "no-store"),
            ] {
                let expected = format!("{name}: {expected}");
                assert_eq!(protected(&[(name, set)]), ["cache-control: private", &*expected, VARIES]);
            }
        }
        for name in ["edge-control", "surrogate-control"] {
            for (set, expected) in [("max-age=60", "no-store, max-age=60"), ("no-store", "no-store")] {
                let expected = format!("{name}: {expected}");
                assert_eq!(protected(&[(name, set)]), ["cache-control: private", &*expected, VARIES]);
            }
        }
        assert_eq!(protected(&[("x-accel-expires", "60")]), ["cache-control: private", VARIES]);
        let shared = [("cache-control", "public"), ("x-accel-expires", "60"), ("surrogate-control", "max-age=60")];
        let expected = ["cache-control: public", "surrogate-control: max-age=60", VARIES, "x-accel-expires: 60"];
        assert_eq!(protected(&shared), expected);
        // What forbids storing to most caches does not to those that heed another header.
        let forbidden = [("cache-control", "no-store"), ("cdn-cache-control", "max-age=60")];
        let expected = ["cache-control: no-store", "cdn-cache-control: private, max-age=60", VARIES];
        assert_eq!(protected(&forbidden), expected);
    }

    /// Cases: 140.
    #[test]
    fn vary_names_credential_headers_once() {
        for (set, expected) in [
            (&[][..], "X-Avala-Api-Key"),
            (&["accept"][..], "X-Avala-Api-Key, accept"),
            (&["accept", "origin"], "X-Avala-Api-Key, accept, origin"),
            (&["accept, X-AVALA-API-KEY"], "accept, X-AVALA-API-KEY"),
            (&[""], "X-Avala-Api-Key"),
            (&["*"], "*"),
            (&["accept, *"], "accept, *"),
        ] {
            let mut lines = vec![("cache-control", "public")];
            lines.extend(set.iter().map(|vary| ("vary", *vary)));
            assert_eq!(protected(&lines), ["cache-control: public".to_owned(), format!("vary: {expected}")]);
        }
        let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("s-maxage=1"))]);
        let names = [HeaderName::from_static("x-acme-key"), http::header::AUTHORIZATION];
        protect(&mut headers, &CredentialHeaders::new(&names));
        assert_eq!(headers[VARY], "X-Acme-Key, Authorization");
    }
}
