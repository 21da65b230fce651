//! The documented responses, byte for byte.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER};
use http::{Method, Response, StatusCode};

use super::challenge::Challenge;
use super::headers::{HEADERS, OUTAGE_HEADERS, headers_with};
use super::reason::{CredentialError, Rejection};
use crate::decision::Denial;

impl Rejection {
    /// Returns the documented `detail` text.
    #[must_use]
    pub fn detail(&self) -> Cow<'static, str> {
        match text(self) {
            Some(text) => text.detail.into(),
            None => throttled_detail(self).into(),
        }
    }

    /// Returns the documented response with the default challenge. A layer with a header or realm of its own responds
    /// with its own challenge.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        documented(self, Challenge::avala())
    }
}

/// Returns the documented response to a request that is rejected for this reason.
pub(super) fn documented(rejection: &Rejection, challenge: &Challenge) -> Response<Bytes> {
    let body = match text(rejection) {
        Some(text) => Bytes::from_static(text.body.as_bytes()),
        None => format!(r#"{{"detail":"{}"}}"#, throttled_detail(rejection)).into(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = rejection.status();
    *response.headers_mut() = headers(rejection, challenge);
    response
}

/// Returns a copy of prepared headers, which costs less than building them for each response.
fn headers(rejection: &Rejection, challenge: &Challenge) -> HeaderMap {
    match rejection {
        Rejection::Throttled { retry_after } => headers_with(RETRY_AFTER, (*retry_after).into()),
        Rejection::Unavailable(_) | Rejection::Denied(Denial::OtherKey) => OUTAGE_HEADERS.clone(),
        _ if rejection.status() == StatusCode::UNAUTHORIZED => challenge.headers(rejection).clone(),
        _ => HEADERS.clone(),
    }
}

/// Returns `None` for the one text that holds a number.
const fn text(rejection: &Rejection) -> Option<&'static Text> {
    Some(match rejection {
        Rejection::Credential(CredentialError::Missing) => &MISSING,
        Rejection::Denied(Denial::Expired) => &EXPIRED,
        Rejection::Denied(Denial::InsufficientScope | Denial::NetworkNotAllowed) => &FORBIDDEN,
        Rejection::Unavailable(_) | Rejection::Denied(Denial::OtherKey) => &UNAVAILABLE,
        Rejection::Credential(_) | Rejection::Denied(_) => &INVALID,
        Rejection::HttpsRequired => &HTTPS_REQUIRED,
        Rejection::NotFound => &NOT_FOUND,
        Rejection::Throttled { .. } => return None,
        Rejection::Misconfigured => &MISCONFIGURED,
    })
}

fn throttled_detail(rejection: &Rejection) -> String {
    let seconds = if let Rejection::Throttled { retry_after } = rejection { *retry_after } else { 0 };
    format!("Request was throttled. Expected available in {seconds} seconds.")
}

/// Removes the body of a response to `HEAD`. hyper only does so over HTTP/1.
pub(super) fn suit_method(method: &Method, response: &mut Response<Bytes>) {
    if method == Method::HEAD {
        let length = std::mem::take(response.body_mut()).len();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
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
    use crate::rejection::Outage;

    /// Cases: 44, 45, 46, 165.
    #[test]
    fn documented_response_has_documented_bytes() {
        use CredentialError::{Malformed, Missing, Repeated, TooLong};
        use Denial::{
            Expired, InsufficientScope, NetworkNotAllowed, OrganizationDisabled, OtherKey, Revoked, Suspended, Unknown,
        };
        let challenge = ("www-authenticate", r#"ApiKey realm="api", header="X-Avala-Api-Key""#);
        let (retry, nothing) = (("retry-after", "1"), ("", ""));
        let invalid = r#"{"detail":"Invalid API key."}"#;
        let table: [(Rejection, u16, (&str, &str), &str); 19] = [
            (Missing.into(), 401, challenge, r#"{"detail":"Authentication credentials were not provided."}"#),
            (Repeated.into(), 401, challenge, invalid),
            (TooLong.into(), 401, challenge, invalid),
            (Malformed.into(), 401, challenge, invalid),
            (Unknown.into(), 401, challenge, invalid),
            (Revoked.into(), 401, challenge, invalid),
            (Suspended.into(), 401, challenge, invalid),
            (OrganizationDisabled.into(), 401, challenge, invalid),
            (Expired.into(), 401, challenge, r#"{"detail":"API key has expired."}"#),
            (
                InsufficientScope.into(),
                403,
                nothing,
                r#"{"detail":"You do not have permission to perform this action."}"#,
            ),
            (
                NetworkNotAllowed.into(),
                403,
                nothing,
                r#"{"detail":"You do not have permission to perform this action."}"#,
            ),
            (Rejection::HttpsRequired, 403, nothing, r#"{"detail":"HTTPS is required."}"#),
            (Rejection::NotFound, 404, nothing, r#"{"detail":"Not found."}"#),
            (Outage::Failed.into(), 503, retry, r#"{"detail":"Service temporarily unavailable, try again later."}"#),
            (Outage::TimedOut.into(), 503, retry, r#"{"detail":"Service temporarily unavailable, try again later."}"#),
            (Outage::Panicked.into(), 503, retry, r#"{"detail":"Service temporarily unavailable, try again later."}"#),
            (OtherKey.into(), 503, retry, r#"{"detail":"Service temporarily unavailable, try again later."}"#),
            (
                Rejection::Throttled { retry_after: 37 },
                429,
                ("retry-after", "37"),
                r#"{"detail":"Request was throttled. Expected available in 37 seconds."}"#,
            ),
            (Rejection::Misconfigured, 500, nothing, r#"{"detail":"Internal server error."}"#),
        ];
        let mut codes = std::collections::BTreeSet::new();
        let mut public = std::collections::BTreeMap::new();
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
            // A public code shows no more than the response does.
            let shown = *public.entry(rejection.public_code()).or_insert((status, body));
            assert_eq!(shown, (status, body), "{rejection:?}");
        }
        let known = "expired_key https_required insufficient_scope invalid_key misconfigured missing_key \
                     network_not_allowed not_found rate_limited unavailable";
        assert_eq!(public.into_keys().collect::<Vec<_>>().join(" "), known);
    }
}
