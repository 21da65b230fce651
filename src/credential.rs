//! Where a request may carry a key.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

/// A place in which an [`ApiKeyLayer`](crate::ApiKeyLayer::sources) looks for a key.
///
/// | source | a request carries |
/// |---|---|
/// | [`header`](Self::header) | `X-Avala-Api-Key: KEY`, with any header name |
/// | [`bearer`](Self::bearer) | `Authorization: Bearer KEY` |
/// | [`authorization`](Self::authorization) | `Authorization: ApiKey KEY`, with any scheme |
/// | [`websocket_protocol`](Self::websocket_protocol) | `Sec-WebSocket-Protocol: chat, base64url.api-key.ENCODED` |
///
/// The name of a scheme is compared without letter case, and any number of spaces follows it (RFC 9110, 11.4).
///
/// ```
/// use http::HeaderName;
/// use tower_api_key::auth::{AuthScheme, CredentialSource};
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// let layer = ApiKeyLayer::new(MemoryStore::new()).sources([
///     CredentialSource::header(HeaderName::from_static("x-avala-api-key")),
///     CredentialSource::header(HeaderName::from_static("x-api-key")),
///     CredentialSource::bearer(),
///     CredentialSource::authorization(AuthScheme::API_KEY),
///     CredentialSource::websocket_protocol(),
/// ]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSource(pub(crate) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Header(HeaderName),
    Authorization(AuthScheme),
    WebSocketProtocol,
}

impl CredentialSource {
    /// What an entry of `Sec-WebSocket-Protocol` with a key begins with.
    pub(crate) const PROTOCOL: &str = "base64url.api-key.";

    /// Reads the whole value of this header. For `Authorization` see [`authorization`](Self::authorization).
    #[must_use]
    pub const fn header(name: HeaderName) -> Self {
        Self(Kind::Header(name))
    }

    /// Reads `Authorization: Bearer KEY` (RFC 6750).
    #[must_use]
    pub const fn bearer() -> Self {
        Self::authorization(AuthScheme::BEARER)
    }

    /// Reads `Authorization` with this scheme. Other schemes are left to others.
    #[must_use]
    pub const fn authorization(scheme: AuthScheme) -> Self {
        Self(Kind::Authorization(scheme))
    }

    /// Reads an entry of `Sec-WebSocket-Protocol`, the one header of a WebSocket that a script in a browser can set.
    ///
    /// The entry is `base64url.api-key.` and the key in base64url without padding (RFC 4648, 5), since a key may have
    /// characters that an entry may not. The layer removes it, and the handler selects one of the others. A script must
    /// send another entry: a browser closes the connection if the server selects none.
    ///
    /// ```js
    /// const encoded = btoa(key).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    /// new WebSocket("wss://api.example/events", ["events.v1", `base64url.api-key.${encoded}`]);
    /// ```
    #[must_use]
    pub const fn websocket_protocol() -> Self {
        Self(Kind::WebSocketProtocol)
    }

    /// Returns the name of the header that it reads.
    #[must_use]
    pub fn header_name(&self) -> &HeaderName {
        match &self.0 {
            Kind::Header(name) => name,
            Kind::Authorization(_) => &AUTHORIZATION,
            Kind::WebSocketProtocol => &SEC_WEBSOCKET_PROTOCOL,
        }
    }
}

/// A scheme of `Authorization` (RFC 9110, 11.1): a token, compared without letter case.
///
/// ```
/// use tower_api_key::auth::AuthScheme;
///
/// const ACME: AuthScheme = AuthScheme::from_static("Acme-Key");
/// assert_eq!("bearer".parse::<AuthScheme>()?, AuthScheme::BEARER);
/// assert!("Api Key".parse::<AuthScheme>().is_err());
/// # Ok::<(), tower_api_key::auth::InvalidAuthScheme>(())
/// ```
#[derive(Clone, Debug)]
pub struct AuthScheme(Cow<'static, str>);

impl AuthScheme {
    /// `Bearer`. With [`require_formats`](crate::ApiKeyLayer::require_formats), a token that does not begin as one of these
    /// formats does is left to others.
    pub const BEARER: Self = Self(Cow::Borrowed("Bearer"));
    /// `ApiKey`.
    pub const API_KEY: Self = Self(Cow::Borrowed("ApiKey"));
    /// `Token`.
    pub const TOKEN: Self = Self(Cow::Borrowed("Token"));

    /// Returns a scheme that is known when the service is written. In a `const`, an invalid one does not compile.
    ///
    /// # Panics
    /// When the text is not a scheme.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(is_token(text), "an authentication scheme is 1 to 64 characters of an HTTP token");
        Self(Cow::Borrowed(text))
    }

    /// Returns the scheme that this text names.
    ///
    /// # Errors
    /// When the text is empty, longer than 64 bytes, or has a character that no HTTP token has.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidAuthScheme> {
        let text = text.into();
        if is_token(&text) { Ok(Self(text.into())) } else { Err(InvalidAuthScheme) }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for AuthScheme {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for AuthScheme {}

impl fmt::Display for AuthScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AuthScheme {
    type Err = InvalidAuthScheme;

    fn from_str(text: &str) -> Result<Self, InvalidAuthScheme> {
        Self::new(text)
    }
}

/// An authentication scheme was empty, longer than 64 bytes, or had a character that no HTTP token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an authentication scheme is 1 to 64 characters of an HTTP token")]
pub struct InvalidAuthScheme;

const fn is_token(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let symbol = matches!(
            bytes[at],
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        if !symbol && !bytes[at].is_ascii_alphanumeric() {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_is_token_compared_without_case() {
        for invalid in ["", " ", "Api Key", "Bearer ", "a,b", "a=b", "a\"b", "é", "a\r\n", &"x".repeat(65)] {
            assert_eq!(AuthScheme::new(invalid), Err(InvalidAuthScheme), "{invalid:?}");
        }
        assert_eq!(AuthScheme::new("APIKEY"), Ok(AuthScheme::API_KEY));
        assert_ne!(AuthScheme::TOKEN, AuthScheme::BEARER);
    }
}
