use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;

use super::ResponseBody;

pin_project! {
    /// What comes after the decision: the inner service's response, or one of our own.
    #[project = ReplyProj]
    pub(crate) enum Reply<F> {
        Inner { #[pin] future: F },
        Own { response: Option<Response<Bytes>> },
    }
}

impl<F> Reply<F> {
    pub(crate) fn inner(future: F) -> Self {
        Self::Inner { future }
    }

    pub(crate) fn own(response: Response<Bytes>) -> Self {
        Self::Own { response: Some(response) }
    }
}

impl<F, B, E> Future for Reply<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ReplyProj::Inner { future } => Poll::Ready(ready!(future.poll(cx)).map(|it| it.map(ResponseBody::inner))),
            ReplyProj::Own { response } => {
                let response = response.take().expect("polled after it was ready");
                Poll::Ready(Ok(response.map(ResponseBody::own)))
            }
        }
    }
}

/// Takes the instance that was polled ready and leaves a fresh clone, as the contract of [`tower::Service`]
/// asks. To drop what this returns gives back whatever readiness had reserved, such as the permit of a
/// concurrency limit that others wait for.
pub(crate) fn take_ready<S: Clone>(inner: &mut S) -> S {
    let fresh = inner.clone();
    mem::replace(inner, fresh)
}
