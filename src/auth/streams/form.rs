//! How a response body ends before its time.

use base64ct::{Base64, Encoding};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap};
use http_body::Frame;

use super::StreamEnded;
use crate::BoxError;
use crate::rejection::reason::Rejection;
use crate::rejection::{grpc_content_type, grpc_trailers};

/// What the client must understand of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An error, so that a download that was cut does not look complete.
    Error,
    /// The end of the body: the client of an event stream connects again, and gets the 401.
    EventStream,
    /// A status in the trailers.
    Grpc,
    /// The same in a last message, in Base64 or not.
    GrpcWeb { text: bool },
}

impl Form {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match grpc_content_type(headers) {
            Some("application/grpc") => return Self::Grpc,
            Some("application/grpc-web") => return Self::GrpcWeb { text: false },
            Some(_) => return Self::GrpcWeb { text: true },
            None => {}
        }
        let essence = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
        let is_event_stream = essence.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"));
        if is_event_stream { Self::EventStream } else { Self::Error }
    }

    /// Returns the last frame.
    pub(super) fn end(self, rejection: Rejection) -> Option<Result<Frame<Bytes>, BoxError>> {
        match self {
            Self::Error => Some(Err(StreamEnded::new(rejection).into())),
            Self::EventStream => None,
            Self::Grpc => Some(Ok(Frame::trailers(grpc_trailers(rejection)))),
            Self::GrpcWeb { text } => Some(Ok(Frame::data(web_trailers(rejection, text)))),
        }
    }
}

/// The trailers as a last message of gRPC-Web: marked by the highest bit, with their length in front.
fn web_trailers(rejection: Rejection, text: bool) -> Bytes {
    const TRAILERS: u8 = 0x80;
    let mut lines = BytesMut::new();
    for (name, value) in &grpc_trailers(rejection) {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"] {
            lines.put_slice(part);
        }
    }
    let mut message = BytesMut::new();
    message.put_u8(TRAILERS);
    message.put_u32(lines.len() as u32);
    message.put_slice(&lines);
    if text { Base64::encode_string(&message).into() } else { message.freeze() }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::decision::Denial;
    use crate::rejection::Outage;

    #[test]
    fn form_follows_the_content_type() {
        for (sent, form) in [
            ("text/event-stream", Form::EventStream),
            ("Text/Event-Stream; charset=utf-8", Form::EventStream),
            ("text/event-streams", Form::Error),
            ("application/grpc+proto", Form::Grpc),
            ("application/grpc-web", Form::GrpcWeb { text: false }),
            ("application/grpc-web-text+proto", Form::GrpcWeb { text: true }),
            ("application/octet-stream", Form::Error),
            ("", Form::Error),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(sent))]);
            assert_eq!(Form::of(&headers), form, "{sent}");
        }
        assert_eq!(Form::of(&HeaderMap::new()), Form::Error);
    }

    #[test]
    fn end_is_what_the_client_of_each_form_reads() {
        let revoked = Rejection::Denied(Denial::Revoked);
        assert!(Form::EventStream.end(revoked).is_none());
        let error = Form::Error.end(revoked).unwrap().unwrap_err();
        assert_eq!(error.downcast::<StreamEnded>().unwrap().rejection(), revoked);
        let trailers = Form::Grpc.end(revoked).unwrap().unwrap().into_trailers().unwrap();
        assert!(trailers["grpc-status"] == "16" && trailers["grpc-message"] == "Invalid API key.");
        let trailers = Form::Grpc.end(Outage::Failed.into()).unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "14");
        let web = |text| Form::GrpcWeb { text }.end(revoked).unwrap().unwrap().into_data().unwrap();
        let lines = "grpc-status:16\r\ngrpc-message:Invalid API key.\r\n";
        assert_eq!(web(false), [&[0x80, 0, 0, 0, lines.len() as u8], lines.as_bytes()].concat());
        assert_eq!(Base64::decode_vec(std::str::from_utf8(&web(true)).unwrap()).unwrap(), web(false));
    }
}
