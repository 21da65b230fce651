//! Two calls at once, on one task: the second begins after some polls of the first.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use futures::future::join;

/// After how many polls of the first call the second begins. A call that waits for a database takes a few.
pub(super) const LEADS: [usize; 7] = [0, 1, 2, 3, 5, 8, 13];

/// Drives both to their end. The second is first polled when the first has been polled `lead` times or has ended.
pub(super) async fn staggered<A: Future, B: Future>(first: A, second: B, lead: usize) -> (A::Output, B::Output) {
    let mut first = pin!(first);
    match poll_times(first.as_mut(), lead).await {
        Some(output) => (output, second.await),
        None => join(first, second).await,
    }
}

/// Polls the call at most `polls` times and drops it. Returns whether it has ended.
pub(super) async fn dropped_after<F: Future>(call: F, polls: usize) -> bool {
    poll_times(pin!(call), polls).await.is_some()
}

async fn poll_times<F: Future>(mut call: Pin<&mut F>, polls: usize) -> Option<F::Output> {
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
