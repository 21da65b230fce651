use std::borrow::Cow;
use std::str::FromStr;
use std::sync::LazyLock;

use http::header::{HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};

use super::headers::headers_with;
use crate::text::TitleCase;

/// The protection space that a 401 names (RFC 9110, 11.5): 1 to 128 printable ASCII characters without `"` and `\`.
///
/// ```
/// use tower_api_key::rejection::Realm;
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// const REALM: Realm = Realm::from_static("acme");
/// let layer = ApiKeyLayer::new(MemoryStore::new()).realm(REALM);
/// assert!("quo\"te".parse::<Realm>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm(Cow<'static, str>);

impl Realm {
    /// Returns a realm that is known when the service is written. In a `const`, an invalid one does not compile.
    ///
    /// # Panics
    /// When the text is not a realm.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(is_realm(text), "a realm is 1 to 128 printable ASCII characters without '\"' and '\\'");
        Self(Cow::Borrowed(text))
    }

    /// Returns the realm that this text names.
    ///
    /// # Errors
    /// When the text is empty, longer than 128 bytes, or has a character that a quoted string cannot hold as it is.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidRealm> {
        let text = text.into();
        if is_realm(&text) { Ok(Self(text.into())) } else { Err(InvalidRealm) }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The realm `api`.
impl Default for Realm {
    fn default() -> Self {
        Self::from_static("api")
    }
}

impl FromStr for Realm {
    type Err = InvalidRealm;

    fn from_str(text: &str) -> Result<Self, InvalidRealm> {
        Self::new(text)
    }
}

/// A realm was empty, longer than 128 bytes, or had a character that a quoted string cannot hold as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a realm is 1 to 128 printable ASCII characters without '\"' and '\\'")]
pub struct InvalidRealm;

const fn is_realm(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b' '..=b'~') || matches!(bytes[at], b'"' | b'\\') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= 128
}

/// The value of `WWW-Authenticate`, which a 401 must carry (RFC 9110, 15.5.2), and the headers of a 401 with it.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    realm: Realm,
    header: HeaderName,
    value: HeaderValue,
    headers: HeaderMap,
}

impl Challenge {
    pub(crate) fn new(realm: Realm, header: HeaderName) -> Self {
        let value = format!(r#"ApiKey realm="{}", header="{}""#, realm.as_str(), TitleCase(&header));
        let value = HeaderValue::try_from(value).expect("a realm and a header name are printable ASCII");
        let headers = headers_with(WWW_AUTHENTICATE, value.clone());
        Self { realm, header, value, headers }
    }

    /// Returns the documented challenge.
    pub(crate) fn avala() -> &'static Self {
        static AVALA: LazyLock<Challenge> =
            LazyLock::new(|| Challenge::new(Realm::default(), HeaderName::from_static("x-avala-api-key")));
        &AVALA
    }

    pub(crate) fn with_realm(&self, realm: Realm) -> Self {
        Self::new(realm, self.header.clone())
    }

    pub(crate) fn with_header(&self, header: HeaderName) -> Self {
        Self::new(self.realm.clone(), header)
    }

    pub(crate) const fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// Returns the headers of a 401.
    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases: 53.
    #[test]
    fn realm_that_needs_escaping_is_rejected() {
        for invalid in ["", "quo\"te", "back\\slash", "cr\r", "lf\n", "é", "\0", &"x".repeat(129)] {
            assert_eq!(Realm::new(invalid), Err(InvalidRealm), "{invalid:?}");
        }
        let realm = Realm::new("my api, v2").unwrap();
        let challenge = Challenge::new(realm, HeaderName::from_static("x-acme-key"));
        assert_eq!(challenge.value, r#"ApiKey realm="my api, v2", header="X-Acme-Key""#);
        assert_eq!(Challenge::avala().value, r#"ApiKey realm="api", header="X-Avala-Api-Key""#);
    }
}
