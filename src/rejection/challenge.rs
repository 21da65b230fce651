use std::borrow::Cow;
use std::str::FromStr;
use std::sync::LazyLock;

use http::Uri;
use http::header::{HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};

use super::headers::HEADERS;
use super::reason::{CredentialError, Rejection};
use crate::credential::{AuthScheme, CredentialSource, Kind};
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

/// The values of `WWW-Authenticate`, which a 401 must carry (RFC 9110, 15.5.2): one for each source of a key.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    realm: Realm,
    sources: Vec<CredentialSource>,
    resource_metadata: Option<Uri>,
    /// The headers of a 401 to a request without a key.
    missing: HeaderMap,
    /// The headers of any other 401.
    invalid: HeaderMap,
}

impl Challenge {
    fn new(realm: Realm, sources: Vec<CredentialSource>, resource_metadata: Option<Uri>) -> Self {
        let empty = HeaderMap::new();
        let mut challenge = Self { realm, sources, resource_metadata, missing: empty.clone(), invalid: empty };
        // A request without a key gets no error code (RFC 6750, 3.1).
        challenge.missing = challenge.of("");
        challenge.invalid = challenge.of(r#", error="invalid_token""#);
        challenge
    }

    /// Returns the documented challenge.
    pub(crate) fn avala() -> &'static Self {
        static AVALA: LazyLock<Challenge> = LazyLock::new(|| {
            let header = CredentialSource::header(HeaderName::from_static("x-avala-api-key"));
            Challenge::new(Realm::default(), vec![header], None)
        });
        &AVALA
    }

    pub(crate) fn with_realm(&self, realm: Realm) -> Self {
        Self::new(realm, self.sources.clone(), self.resource_metadata.clone())
    }

    pub(crate) fn with_sources(&self, sources: &[CredentialSource]) -> Self {
        Self::new(self.realm.clone(), sources.to_vec(), self.resource_metadata.clone())
    }

    pub(crate) fn with_resource_metadata(&self, url: Uri) -> Self {
        Self::new(self.realm.clone(), self.sources.clone(), Some(url))
    }

    /// Returns the headers of a 401 for this reason.
    pub(super) const fn headers(&self, rejection: &Rejection) -> &HeaderMap {
        match rejection {
            Rejection::Credential(CredentialError::Missing) => &self.missing,
            _ => &self.invalid,
        }
    }

    /// Returns the headers of a 401 with this error code for bearer tokens.
    fn of(&self, error: &str) -> HeaderMap {
        let mut headers = HEADERS.clone();
        for source in &self.sources {
            add(&mut headers, self.value(source, error));
        }
        if self.sources.is_empty() {
            add(&mut headers, format!(r#"ApiKey realm="{}""#, self.realm.as_str()));
        }
        headers
    }

    fn value(&self, source: &CredentialSource, error: &str) -> String {
        let realm = self.realm.as_str();
        match &source.0 {
            Kind::Header(name) => format!(r#"ApiKey realm="{realm}", header="{}""#, TitleCase(name)),
            Kind::Authorization(scheme) if *scheme == AuthScheme::BEARER => {
                let metadata = self.resource_metadata.as_ref().map(|url| {
                    let url = url.to_string().replace('\\', r"\\").replace('"', r#"\""#);
                    format!(r#", resource_metadata="{url}""#)
                });
                format!(r#"Bearer realm="{realm}"{error}{}"#, metadata.unwrap_or_default())
            }
            Kind::Authorization(scheme) => format!(r#"{scheme} realm="{realm}""#),
            Kind::WebSocketProtocol => {
                format!(r#"ApiKey realm="{realm}", websocket-protocol="{}""#, CredentialSource::PROTOCOL)
            }
        }
    }
}

fn add(headers: &mut HeaderMap, challenge: String) {
    let value = HeaderValue::try_from(challenge).expect("realms, names, schemes and URLs have no control characters");
    headers.append(WWW_AUTHENTICATE, value);
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
        let challenge = Challenge::avala().with_realm(realm);
        assert_eq!(challenge.missing[WWW_AUTHENTICATE], r#"ApiKey realm="my api, v2", header="X-Avala-Api-Key""#);
    }

    /// Cases: 163.
    #[test]
    fn challenge_names_each_source() {
        let sources = [
            CredentialSource::header(HeaderName::from_static("x-acme-key")),
            CredentialSource::header(HeaderName::from_static("x-api-key")),
            CredentialSource::bearer(),
            CredentialSource::authorization(AuthScheme::API_KEY),
            CredentialSource::websocket_protocol(),
        ];
        let challenge = Challenge::avala().with_sources(&sources);
        let challenge = challenge.with_resource_metadata(Uri::from_static("https://api.example/a\\\"b"));
        let shown = |rejection: Rejection| {
            let values = challenge.headers(&rejection).get_all(WWW_AUTHENTICATE);
            values.iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>()
        };
        let header = |name| format!(r#"ApiKey realm="api", header="{name}""#);
        let bearer = |error| format!(r#"Bearer realm="api"{error}, resource_metadata="https://api.example/a\\\"b""#);
        let websocket = r#"ApiKey realm="api", websocket-protocol="base64url.api-key.""#.to_owned();
        for (rejection, error) in [
            (Rejection::Credential(CredentialError::Missing), ""),
            (CredentialError::Malformed.into(), r#", error="invalid_token""#),
            (crate::decision::Denial::Revoked.into(), r#", error="invalid_token""#),
        ] {
            let apikey = r#"ApiKey realm="api""#.to_owned();
            let expected = [header("X-Acme-Key"), header("X-Api-Key"), bearer(error), apikey, websocket.clone()];
            assert_eq!(shown(rejection), expected);
        }
        let none = Challenge::avala().with_sources(&[]);
        assert_eq!(none.missing[WWW_AUTHENTICATE], r#"ApiKey realm="api""#);
    }
}
