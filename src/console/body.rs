use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};

/// The body of every response of the console: one piece of bytes, or nothing.
pub struct ConsoleBody(Option<Bytes>);

impl ConsoleBody {
    pub(super) fn new(bytes: impl Into<Bytes>) -> Self {
        Self(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    /// Responds to `HEAD` as to `GET`, with the length of the body in place of the body.
    pub(super) fn leave_out_for_head(method: &Method, response: &mut Response<Self>) {
        if method == Method::HEAD {
            let length = response.body().size_hint().exact().unwrap_or_default();
            *response.body_mut() = Self(None);
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
    }
}

impl Body for ConsoleBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// Shows no content, which may be a key.
impl fmt::Debug for ConsoleBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleBody").finish_non_exhaustive()
    }
}
