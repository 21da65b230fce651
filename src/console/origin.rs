//! Whether a request of an operator comes from a page of the same origin.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};

use crate::client::ClientInfo;
use crate::request::RequestHead;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns whether no page of another origin can have made a browser send this request: for the login and the logout of your
/// service. The console checks the requests of an [`Operator`](super::Operator) by itself.
///
/// A request without `Sec-Fetch-Site` and `Origin` does not come from a page of a browser. Behind a proxy that changes `Host`,
/// browsers are recognized by `Sec-Fetch-Site` alone, which they send over HTTPS.
///
/// ```
/// use http::Request;
/// use tower_api_key::console::is_same_origin;
///
/// let request = Request::post("/login").header("Host", "acme.example");
/// assert!(is_same_origin(&request.header("Origin", "https://acme.example").body(())?));
/// let request = Request::post("/login").header("Host", "acme.example");
/// assert!(!is_same_origin(&request.header("Origin", "https://evil.example").body(())?));
/// # Ok::<(), http::Error>(())
/// ```
pub fn is_same_origin<'a>(request: impl Into<RequestHead<'a>>) -> bool {
    is_allowed(request.into(), &[])
}

/// Returns whether no page of an origin that is not allowed can have made a browser send this request.
///
/// `Sec-Fetch-Site` is set by the browser and knows the origin of the page, whatever a proxy does to `Host`. A browser that
/// does not send it sends `Origin` with each request that is not a plain `GET`.
pub(super) fn is_allowed(request: RequestHead<'_>, allowed: &[HeaderValue]) -> bool {
    let headers = request.headers();
    let (Ok(origin), Ok(site)) = (only(headers, &ORIGIN), only(headers, &SEC_FETCH_SITE)) else { return false };
    if origin.is_some_and(|origin| allowed.contains(origin)) {
        return true;
    }
    match (site.map(HeaderValue::as_bytes), origin) {
        (Some(b"same-origin" | b"none"), _) | (None, None) => true,
        (Some(_), _) => false,
        (None, Some(origin)) => is_own(origin, request),
    }
}

/// Returns whether this is the origin of the service, as far as the service knows it.
fn is_own(origin: &HeaderValue, request: RequestHead<'_>) -> bool {
    let Some((scheme, host)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
    let is_https = request.extensions().get::<ClientInfo>().is_some_and(ClientInfo::is_https);
    if is_https && scheme != "https" {
        return false;
    }
    let named = match only(request.headers(), &HOST) {
        Ok(Some(named)) => named.to_str().ok(),
        Ok(None) => request.uri().authority().map(http::uri::Authority::as_str),
        Err(Repeated) => None,
    };
    named.is_some_and(|named| named.eq_ignore_ascii_case(host))
}

struct Repeated;

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Repeated> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(Repeated),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn is_allowed_with(headers: &[(&str, &str)], https: bool) -> bool {
        let mut request = Request::post("https://keys.example/").extension(ClientInfo::new(None, https));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        is_allowed((&request).into(), &[HeaderValue::from_static("https://admin.example")])
    }

    /// Cases: 233.
    #[test]
    fn origin_of_another_site_is_rejected() {
        let own = [("host", "keys.example:8443")];
        for (headers, allowed) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "Same-Origin")], false),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-origin")], false),
            // A proxy has changed the host.
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://public.example")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://keys.example:8443")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://admin.example")], true),
            (&[("origin", "https://keys.example:8443")], true),
            (&[("origin", "https://KEYS.example:8443")], true),
            (&[("origin", "http://keys.example:8443")], true),
            (&[("origin", "https://keys.example")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "https://keys.example:8443.evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "")], false),
            (&[("origin", "https://keys.example:8443"), ("origin", "https://evil.example")], false),
            (&[("origin", "https://admin.example")], true),
            (&[("origin", "https://admin.example.evil")], false),
        ] {
            assert_eq!(is_allowed_with(&[&own, headers].concat(), false), allowed, "{headers:?}");
        }
        // Without a Host header, HTTP/2 has the authority in its target.
        assert!(is_allowed_with(&[("origin", "https://keys.example")], false));
        let repeated = [("host", "a"), ("host", "a"), ("origin", "https://a")];
        assert!(!is_allowed_with(&repeated, false));
        // A page that came in the clear may be anyone's.
        assert!(!is_allowed_with(&[("host", "a"), ("origin", "http://a")], true));
        assert!(is_allowed_with(&[("host", "a"), ("origin", "https://a")], true));
    }
}
