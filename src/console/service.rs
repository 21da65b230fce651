use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Response;

use super::ConsoleBody;

/// The future of a response of the console.
#[must_use = "futures do nothing unless polled"]
pub struct ConsoleFuture(BoxFuture<'static, Response<ConsoleBody>>);

impl ConsoleFuture {
    pub(super) fn new(response: impl Future<Output = Response<ConsoleBody>> + Send + 'static) -> Self {
        Self(Box::pin(response))
    }
}

impl Future for ConsoleFuture {
    type Output = Result<Response<ConsoleBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ConsoleFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleFuture").finish_non_exhaustive()
    }
}
