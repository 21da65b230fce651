//! Rejections in the form that gRPC clients understand.

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::reason::Rejection;
use crate::decision::Denial;

/// Returns the content type of a response to this request, if it is a gRPC call.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&'static str> {
    let sent = headers.get(CONTENT_TYPE)?.as_bytes();
    // The longer name first: `application/grpc` begins all of them.
    ["application/grpc-web-text", "application/grpc-web", "application/grpc"].into_iter().find(|known| {
        let rest = sent.split_at_checked(known.len()).filter(|(name, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        rest.is_some_and(|(_, rest)| matches!(rest, [] | [b'+' | b';' | b' ' | b'\t', ..]))
    })
}

/// Returns a response without a message, whose trailers are its headers: `Trailers-Only` of the gRPC protocol.
pub(super) fn response(rejection: Rejection, content_type: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(trailers(rejection));
    response
}

/// Returns the trailers of a stream that ends for this reason.
pub(crate) fn trailers(rejection: Rejection) -> HeaderMap {
    HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), status(rejection).into()),
        (HeaderName::from_static("grpc-message"), message(rejection)),
    ])
}

/// The status code, out of those of `google.rpc.Code`.
const fn status(rejection: Rejection) -> u16 {
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    // How gRPC servers respond to a method that they lack.
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match rejection {
        Rejection::Denied(Denial::InsufficientScope | Denial::NetworkNotAllowed) | Rejection::HttpsRequired => {
            PERMISSION_DENIED
        }
        Rejection::Unavailable(_) | Rejection::Denied(Denial::OtherKey) => UNAVAILABLE,
        Rejection::Credential(_) | Rejection::Denied(_) => UNAUTHENTICATED,
        Rejection::Throttled { .. } => RESOURCE_EXHAUSTED,
        Rejection::NotFound => UNIMPLEMENTED,
        Rejection::Misconfigured => INTERNAL,
    }
}

/// The documented text. It is its own percent-encoding: printable ASCII without `%`.
fn message(rejection: Rejection) -> HeaderValue {
    HeaderValue::from_str(&rejection.detail()).expect("every detail is printable ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::{CredentialError, Outage};

    #[test]
    fn detail_is_its_own_percent_encoding() {
        for rejection in [
            Rejection::Credential(CredentialError::Missing),
            Rejection::Denied(Denial::Unknown),
            Rejection::Denied(Denial::Expired),
            Rejection::Denied(Denial::InsufficientScope),
            Rejection::Unavailable(Outage::Failed),
            Rejection::HttpsRequired,
            Rejection::NotFound,
            Rejection::Throttled { retry_after: u64::MAX },
            Rejection::Misconfigured,
        ] {
            let detail = rejection.detail();
            assert!(detail.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'%'), "{detail}");
            assert_eq!(message(rejection), *detail);
        }
    }

    #[test]
    fn grpc_call_is_known_by_content_type() {
        for (sent, expected) in [
            ("application/grpc", Some("application/grpc")),
            ("application/grpc+proto", Some("application/grpc")),
            ("Application/gRPC;charset=utf-8", Some("application/grpc")),
            ("application/grpc-web", Some("application/grpc-web")),
            ("application/grpc-web+proto", Some("application/grpc-web")),
            ("application/grpc-web-text", Some("application/grpc-web-text")),
            ("application/grpc-web-text+proto", Some("application/grpc-web-text")),
            ("application/grpcx", None),
            ("application/grpc-websocket", None),
            ("application/json", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(sent))]);
            assert_eq!(content_type(&headers), expected, "{sent}");
        }
        assert_eq!(content_type(&HeaderMap::new()), None);
    }
}
