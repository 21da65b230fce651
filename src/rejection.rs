//! What a refused request gets to hear, byte for byte as documented.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode};

use crate::decision::Denial;
use crate::key::CredentialError;

/// Why a request was refused.
///
/// The client learns only [`status`](Self::status) and [`detail`](Self::detail), in which an unknown, a revoked
/// and a malformed key look the same. Events, logs and a [renderer](crate::ApiKeyLayer::render_with) see the
/// reason itself.
///
/// ```
/// use tower_api_key::{Denial, Rejection};
///
/// let revoked = Rejection::from(Denial::Revoked);
/// assert_eq!(revoked.status(), 401);
/// assert_eq!(revoked.detail(), "Invalid API key.");
/// assert_eq!(revoked.code(), "revoked");
/// assert_eq!(revoked.to_response().body(), &r#"{"detail":"Invalid API key."}"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The request has no credential that can be looked up.
    Credential(CredentialError),
    /// The key was looked up and does not pass.
    Denied(Denial),
    /// The store gave no answer.
    Unavailable(Outage),
    /// Plain HTTP where HTTPS is required.
    HttpsRequired,
    /// To this key, what was asked for does not exist.
    NotFound,
    /// A limit was reached.
    Throttled {
        /// After how many seconds another request may pass.
        retry_after: u64,
    },
    /// The layers stand in the wrong order; the log says which.
    Misconfigured,
}

/// Why a store gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outage {
    /// It returned an error.
    Failed,
    /// It did not answer within the lookup timeout.
    TimedOut,
    /// It panicked.
    Panicked,
}

impl Rejection {
    /// The documented status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Credential(_) => StatusCode::UNAUTHORIZED,
            Self::Denied(Denial::InsufficientScope) | Self::HttpsRequired => StatusCode::FORBIDDEN,
            Self::Denied(_) => StatusCode::UNAUTHORIZED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The documented `detail` text.
    #[must_use]
    pub fn detail(&self) -> Cow<'static, str> {
        match self.text() {
            Some(text) => text.detail.into(),
            None => self.throttled_detail().into(),
        }
    }

    /// A short word for logs and metrics, different for each reason and stable between releases. Not for
    /// clients: it tells a revoked key from an unknown one.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Credential(CredentialError::Missing) => "missing",
            Self::Credential(CredentialError::Repeated) => "repeated",
            Self::Credential(CredentialError::TooLong) => "too_long",
            Self::Credential(CredentialError::Malformed) => "malformed",
            Self::Denied(Denial::Unknown) => "unknown",
            Self::Denied(Denial::OtherKey) => "other_key",
            Self::Denied(Denial::Revoked) => "revoked",
            Self::Denied(Denial::OrganizationDisabled) => "organization_disabled",
            Self::Denied(Denial::Expired) => "expired",
            Self::Denied(Denial::InsufficientScope) => "insufficient_scope",
            Self::Unavailable(Outage::Failed) => "store_failed",
            Self::Unavailable(Outage::TimedOut) => "store_timed_out",
            Self::Unavailable(Outage::Panicked) => "store_panicked",
            Self::HttpsRequired => "https_required",
            Self::NotFound => "not_found",
            Self::Throttled { .. } => "throttled",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// The documented reply with its headers, under the default challenge. A layer with a header or realm of
    /// its own replies with its own challenge.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        self.response(&AVALA)
    }

    /// The same for a request with this method, where no layer is there to say it in its own form.
    pub(crate) fn response_to(&self, method: &Method) -> Response<Bytes> {
        let mut response = self.to_response();
        suit_method(method, &mut response);
        response
    }

    pub(crate) fn response(&self, challenge: &Challenge) -> Response<Bytes> {
        let body = match self.text() {
            Some(text) => Bytes::from_static(text.body.as_bytes()),
            None => format!(r#"{{"detail":"{}"}}"#, self.throttled_detail()).into(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers(challenge);
        response
    }

    /// A copy of headers that are ready, which costs less than to put them together for each request.
    fn headers(&self, challenge: &Challenge) -> HeaderMap {
        match self {
            Self::Throttled { retry_after } => headers_with(RETRY_AFTER, (*retry_after).into()),
            Self::Unavailable(_) => OUTAGE_HEADERS.clone(),
            _ if self.status() == StatusCode::UNAUTHORIZED => challenge.headers.clone(),
            _ => HEADERS.clone(),
        }
    }

    /// `None` for the one text that holds a number.
    const fn text(&self) -> Option<&'static Text> {
        Some(match self {
            Self::Credential(CredentialError::Missing) => &MISSING,
            Self::Denied(Denial::Expired) => &EXPIRED,
            Self::Denied(Denial::InsufficientScope) => &FORBIDDEN,
            Self::Credential(_) | Self::Denied(_) => &INVALID,
            Self::Unavailable(_) => &UNAVAILABLE,
            Self::HttpsRequired => &HTTPS_REQUIRED,
            Self::NotFound => &NOT_FOUND,
            Self::Throttled { .. } => return None,
            Self::Misconfigured => &MISCONFIGURED,
        })
    }

    fn throttled_detail(&self) -> String {
        let seconds = if let Self::Throttled { retry_after } = self { *retry_after } else { 0 };
        format!("Request was throttled. Expected available in {seconds} seconds.")
    }
}

/// Leaves the body of a reply to `HEAD` out. hyper does so over HTTP/1 alone.
pub(crate) fn suit_method(method: &Method, response: &mut Response<Bytes>) {
    if method == Method::HEAD {
        let length = std::mem::take(response.body_mut()).len();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
}

impl From<CredentialError> for Rejection {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

impl From<Denial> for Rejection {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Outage> for Rejection {
    fn from(outage: Outage) -> Self {
        Self::Unavailable(outage)
    }
}

/// A realm that can stand in a quoted string as it is.
#[derive(Clone, Debug)]
pub(crate) struct Realm(Cow<'static, str>);

impl Realm {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && !matches!(byte, b'"' | b'\\');
        let valid = (1..=128).contains(&text.len()) && text.bytes().all(plain);
        valid.then(|| Self(text.to_owned().into()))
    }
}

impl Default for Realm {
    fn default() -> Self {
        Self("api".into())
    }
}

/// The value of `WWW-Authenticate`, which a 401 must carry (RFC 9110, 15.5.2), and the headers of a 401 with it.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    value: HeaderValue,
    headers: HeaderMap,
}

impl Challenge {
    pub(crate) fn new(realm: &Realm, header: &HeaderName) -> Self {
        let value = format!(r#"ApiKey realm="{}", header="{}""#, realm.0, TitleCase(header));
        let value = HeaderValue::try_from(value).expect("a realm and a header name are printable ASCII");
        Self { headers: headers_with(WWW_AUTHENTICATE, value.clone()), value }
    }

    pub(crate) const fn value(&self) -> &HeaderValue {
        &self.value
    }
}

static AVALA: LazyLock<Challenge> =
    LazyLock::new(|| Challenge::new(&Realm::default(), &HeaderName::from_static("x-avala-api-key")));

static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
});

static OUTAGE_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| headers_with(RETRY_AFTER, HeaderValue::from_static("1")));

/// The headers of every reply, and this one.
fn headers_with(name: HeaderName, value: HeaderValue) -> HeaderMap {
    let mut headers = HEADERS.clone();
    headers.insert(name, value);
    headers
}

/// `x-avala-api-key` as `X-Avala-Api-Key`.
pub(crate) struct TitleCase<'a>(pub(crate) &'a HeaderName);

impl fmt::Display for TitleCase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = '-';
        for letter in self.0.as_str().chars() {
            let shown = if before == '-' { letter.to_ascii_uppercase() } else { letter };
            fmt::Write::write_char(f, shown)?;
            before = letter;
        }
        Ok(())
    }
}

struct Text {
    detail: &'static str,
    body: &'static str,
}

macro_rules! text {
    ($detail:literal) => {
        Text { detail: $detail, body: concat!(r#"{"detail":""#, $detail, r#""}"#) }
    };
}

static MISSING: Text = text!("Authentication credentials were not provided.");
static INVALID: Text = text!("Invalid API key.");
static EXPIRED: Text = text!("API key has expired.");
static FORBIDDEN: Text = text!("You do not have permission to perform this action.");
static HTTPS_REQUIRED: Text = text!("HTTPS is required.");
static NOT_FOUND: Text = text!("Not found.");
static UNAVAILABLE: Text = text!("Service temporarily unavailable, try again later.");
static MISCONFIGURED: Text = text!("Internal server error.");

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reply of the documented table: status, headers, body.
    #[test]
    fn case_044_case_045_case_046_replies_byte_for_byte() {
        use CredentialError::{Malformed, Missing, Repeated, TooLong};
        use Denial::{Expired, InsufficientScope, OrganizationDisabled, OtherKey, Revoked, Unknown};
        let challenge = ("www-authenticate", r#"ApiKey realm="api", header="X-Avala-Api-Key""#);
        let (retry, nothing) = (("retry-after", "1"), ("", ""));
        let invalid = r#"{"detail":"Invalid API key."}"#;
        let table: [(Rejection, u16, (&str, &str), &str); 17] = [
            (Missing.into(), 401, challenge, r#"{"detail":"Authentication credentials were not provided."}"#),
            (Repeated.into(), 401, challenge, invalid),
            (TooLong.into(), 401, challenge, invalid),
            (Malformed.into(), 401, challenge, invalid),
            (Unknown.into(), 401, challenge, invalid),
            (OtherKey.into(), 401, challenge, invalid),
            (Revoked.into(), 401, challenge, invalid),
            (OrganizationDisabled.into(), 401, challenge, invalid),
            (Expired.into(), 401, challenge, r#"{"detail":"API key has expired."}"#),
            (
                InsufficientScope.into(),
                403,
                nothing,
                r#"{"detail":"You do not have permission to perform this action."}"#,
            ),
            (Rejection::HttpsRequired, 403, nothing, r#"{"detail":"HTTPS is required."}"#),
            (Rejection::NotFound, 404, nothing, r#"{"detail":"Not found."}"#),
            (Outage::Failed.into(), 503, retry, r#"{"detail":"Service temporarily unavailable, try again later."}"#),
            (Outage::TimedOut.into(), 503, retry, r#"{"detail":"Service temporarily unavailable, try again later."}"#),
            (Outage::Panicked.into(), 503, retry, r#"{"detail":"Service temporarily unavailable, try again later."}"#),
            (
                Rejection::Throttled { retry_after: 37 },
                429,
                ("retry-after", "37"),
                r#"{"detail":"Request was throttled. Expected available in 37 seconds."}"#,
            ),
            (Rejection::Misconfigured, 500, nothing, r#"{"detail":"Internal server error."}"#),
        ];
        let mut codes = std::collections::BTreeSet::new();
        for (rejection, status, header, body) in table {
            let response = rejection.to_response();
            assert_eq!(response.status(), status, "{rejection:?}");
            assert_eq!(response.body(), body, "{rejection:?}");
            assert_eq!(body, format!(r#"{{"detail":"{}"}}"#, rejection.detail()));
            let mut headers: Vec<_> =
                response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            let mut expected = vec![("content-type", "application/json"), ("cache-control", "no-store")];
            expected.extend(Some(header).filter(|header| *header != nothing));
            headers.sort_unstable();
            expected.sort_unstable();
            assert_eq!(headers, expected, "{rejection:?}");
            assert!(codes.insert(rejection.code()), "{rejection:?}");
        }
    }

    #[test]
    fn case_053_a_realm_that_needs_escaping_is_refused() {
        for bad in ["", "quo\"te", "back\\slash", "cr\r", "lf\n", "é", "\0", &"x".repeat(129)] {
            assert!(Realm::new(bad).is_none(), "{bad:?}");
        }
        let challenge = Challenge::new(&Realm::new("my api, v2").unwrap(), &HeaderName::from_static("x-acme-key"));
        assert_eq!(challenge.value, r#"ApiKey realm="my api, v2", header="X-Acme-Key""#);
        assert_eq!(AVALA.value, r#"ApiKey realm="api", header="X-Avala-Api-Key""#);
    }
}
