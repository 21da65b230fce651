//! What a service runs in the background, on tokio: reports of usage, and the refresh and the notifications of a cache.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use tower_api_key::MemoryStore;
//! use tower_api_key::background::Background;
//!
//! // Runs what the store needs: nothing for this one.
//! let background = Background::of(MemoryStore::new());
//! // Serve. When the server has ended:
//! background.shutdown().await;
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location};
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::select;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error_chain::panic_text;

/// Starts the background work of a service, and ends it in order.
///
/// No constructor of this crate spawns anything. A component with background work has a method `run`, and a `Background`
/// drives the future that it returns. A panic in one task is logged and does not affect the others.
///
/// Dropping a `Background` has the same effect as [`shutdown`](Self::shutdown), without waiting for the tasks.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use tower_api_key::background::Background;
///
/// let background = Background::new();
/// background.run(async {
///     loop {
///         tokio::time::sleep(Duration::from_secs(60)).await;
///         // Refresh something.
///     }
/// });
/// // Serve. When the server has ended:
/// background.shutdown().await;
/// # }
/// ```
#[must_use = "the tasks end when it is dropped"]
pub struct Background {
    /// Each task holds a receiver until it has ended.
    stop: watch::Sender<bool>,
}

impl Background {
    /// Returns a `Background` without tasks.
    pub fn new() -> Self {
        Self { stop: watch::Sender::new(false) }
    }

    /// Spawns a future on the current tokio runtime. At shutdown the future is dropped.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    #[track_caller]
    pub fn run(&self, future: impl Future + Send + 'static) {
        self.start(|mut stopped| async move { run_until(&mut stopped, future).await });
    }

    /// Spawns a future on the current tokio runtime. At shutdown the future is dropped, and then `last` is awaited, also
    /// when the future ended early or panicked.
    ///
    /// After 10 seconds `last` is dropped too, which is logged.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tower_api_key::background::Background;
    ///
    /// let background = Background::new();
    /// background.run_then(std::future::pending::<()>(), async { println!("saved") });
    /// background.shutdown().await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// When called outside a tokio runtime. The runtime needs its timer.
    #[track_caller]
    pub fn run_then(&self, future: impl Future + Send + 'static, last: impl Future<Output = ()> + Send + 'static) {
        let caller = Location::caller();
        self.start(move |mut stopped| async move {
            log_panic(caller, run_until(&mut stopped, future)).await;
            stopped.wait().await;
            if timeout(LAST_TIMEOUT, last).await.is_err() {
                tracing::error!(
                    "the background task of {caller} did not end within {LAST_TIMEOUT:?} of the shutdown, dropping it"
                );
            }
        });
    }

    /// Signals all tasks to end, and waits until they have ended.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }

    /// Spawns what `task` returns. At shutdown the task must end by itself: its argument is the signal.
    #[track_caller]
    pub(crate) fn start<F>(&self, task: impl FnOnce(Stopped) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let running = self.stop.subscribe();
        let task = log_panic(Location::caller(), task(Stopped(running.clone())));
        tokio::spawn(async move {
            task.await;
            drop(running);
        });
    }
}

impl Default for Background {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").finish_non_exhaustive()
    }
}

/// The signal that a [`Background`] shuts down or was dropped.
pub(crate) struct Stopped(watch::Receiver<bool>);

impl Stopped {
    /// Completes after the signal, each time it is called.
    pub(crate) async fn wait(&mut self) {
        // An error means that the `Background` was dropped.
        let _ = self.0.wait_for(|&stop| stop).await;
    }
}

/// How long the last work of a task may take.
const LAST_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a future until it ends or is dropped at shutdown.
async fn run_until(stopped: &mut Stopped, future: impl Future) {
    select(pin!(future), pin!(stopped.wait())).await;
}

/// Logs the panic of a task with the place in the service that started it.
async fn log_panic(caller: &Location<'_>, task: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        tracing::error!("the background task of {caller} panicked and has ended: {}", panic_text(&*panic));
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::future::{pending, ready};
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// What happened, in order.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<&'static str>>>);

    impl Log {
        fn write(&self, event: &'static str) {
            self.0.lock().unwrap().push(event);
        }

        fn read(&self) -> Vec<&'static str> {
            self.0.lock().unwrap().clone()
        }

        /// Never ends, and writes that it was dropped.
        async fn until_dropped(self) {
            struct Dropped(Log);
            impl Drop for Dropped {
                fn drop(&mut self) {
                    self.0.write("dropped");
                }
            }
            let _dropped = Dropped(self);
            pending::<()>().await;
        }
    }

    #[tokio::test]
    async fn run_at_shutdown_is_dropped() {
        let (background, log) = (Background::new(), Log::default());
        background.run(log.clone().until_dropped());
        tokio::task::yield_now().await;
        assert!(log.read().is_empty());
        background.shutdown().await;
        assert_eq!(log.read(), ["dropped"]);
    }

    #[tokio::test]
    async fn run_then_at_shutdown_awaits_last() {
        let (background, log) = (Background::new(), Log::default());
        let last = log.clone();
        background.run_then(log.clone().until_dropped(), async move {
            tokio::task::yield_now().await;
            last.write("last");
        });
        // A future that ends early leaves its last work to the shutdown.
        let other = log.clone();
        background.run_then(ready(()), async move { other.write("other") });
        tokio::task::yield_now().await;
        assert!(log.read().is_empty());
        background.shutdown().await;
        let mut log = log.read();
        log.sort_by_key(|&event| event == "other");
        assert_eq!(log, ["dropped", "last", "other"]);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_10_seconds_for_last() {
        let (background, log) = (Background::new(), Log::default());
        background.run_then(pending::<()>(), log.clone().until_dropped());
        let slow = log.clone();
        background.run_then(pending::<()>(), async move {
            sleep(Duration::from_secs(9)).await;
            slow.write("slow");
        });
        let began = Instant::now();
        background.shutdown().await;
        assert_eq!(began.elapsed(), LAST_TIMEOUT);
        assert_eq!(log.read(), ["slow", "dropped"]);
    }

    #[tokio::test]
    async fn panic_of_task_does_not_affect_others() {
        let (background, log) = (Background::new(), Log::default());
        background.run(async { panic!("first") });
        let last = log.clone();
        background.run_then(async { panic!("second") }, async move { last.write("last") });
        background.run_then(pending::<()>(), async { panic!("third") });
        background.run(log.clone().until_dropped());
        background.shutdown().await;
        let mut log = log.read();
        log.sort_unstable();
        assert_eq!(log, ["dropped", "last"]);
    }

    #[tokio::test]
    async fn drop_ends_tasks() {
        let (background, log, (sender, ended)) = (Background::new(), Log::default(), oneshot::channel());
        background.run_then(log.clone().until_dropped(), async move { sender.send(()).unwrap() });
        drop(background);
        ended.await.unwrap();
        assert_eq!(log.read(), ["dropped"]);
    }

    #[tokio::test]
    async fn shutdown_without_tasks_returns() {
        Background::default().shutdown().await;
    }

    #[test]
    #[should_panic(expected = "runtime")]
    fn run_outside_runtime_panics() {
        Background::new().run(pending::<()>());
    }
}
