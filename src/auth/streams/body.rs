use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::KeyEnded;
use super::form::Form;
use crate::BoxError;
use crate::auth::ResponseBody;
use crate::rejection::reason::Rejection;

/// A response body was cut, since its key is no longer valid: the error of an [`EndStreamsBody`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response was cut: {rejection}")]
pub struct StreamEnded {
    rejection: Rejection,
}

impl StreamEnded {
    pub(super) const fn new(rejection: Rejection) -> Self {
        Self { rejection }
    }

    /// Returns why the key is no longer valid.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        self.rejection
    }
}

pin_project! {
    /// The body of a response that ends with its key. See [`EndStreamsLayer`](super::EndStreamsLayer).
    pub struct EndStreamsBody<B> {
        // `None` after the end.
        #[pin]
        inner: Option<ResponseBody<B>>,
        watch: Option<Watch>,
    }
}

/// How a body learns that its key has ended.
struct Watch {
    ended: KeyEnded,
    form: Form,
    /// A body that is ready from its first frame to its last is not watched.
    begun: bool,
}

impl<B> EndStreamsBody<B> {
    pub(super) fn watched(inner: ResponseBody<B>, ended: KeyEnded, form: Form) -> Self {
        Self { inner: Some(inner), watch: Some(Watch { ended, form, begun: false }) }
    }

    pub(super) const fn unwatched(inner: ResponseBody<B>) -> Self {
        Self { inner: Some(inner), watch: None }
    }
}

impl<B> Body for EndStreamsBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let mut frame = Poll::Pending;
        if this.watch.as_ref().is_none_or(|watch| !watch.begun) {
            frame = poll_inner(this.inner.as_mut(), cx);
        }
        if let Some(watch) = this.watch
            && (watch.begun || frame.is_pending())
        {
            watch.begun = true;
            if let Poll::Ready(rejection) = Pin::new(&mut watch.ended).poll(cx) {
                let last = watch.form.end(rejection);
                // What the handler holds for the body is freed now.
                this.inner.set(None);
                *this.watch = None;
                return Poll::Ready(last);
            }
            frame = poll_inner(this.inner.as_mut(), cx);
        }
        let frame = ready!(frame);
        if frame.is_none() || this.inner.as_ref().get_ref().as_ref().is_none_or(Body::is_end_stream) {
            *this.watch = None;
        } else if let Some(watch) = this.watch {
            watch.begun = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// What is left of a body.
type Frames = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

fn poll_inner<B>(inner: Pin<&mut Option<ResponseBody<B>>>, cx: &mut Context<'_>) -> Frames
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match inner.as_pin_mut() {
        Some(inner) => inner.poll_frame(cx).map_err(Into::into),
        None => Poll::Ready(None),
    }
}

impl<B> fmt::Debug for EndStreamsBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndStreamsBody").finish_non_exhaustive()
    }
}
