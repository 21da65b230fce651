//! One task that checks the keys of all open streams.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::SemaphorePermit;
use tokio::task::yield_now;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::OpenStreams;
use super::watched::Watched;

/// How many keys are looked up at once, so that requests find a free connection.
const MOST_AT_ONCE: usize = 16;

/// How many keys are checked before other tasks have their turn.
const MOST_IN_A_ROW: usize = 256;

impl OpenStreams {
    /// Checks the keys, as soon as no other task does.
    pub(super) async fn drive(self: Arc<Self>) -> Infallible {
        let permit = self.driver.acquire().await.expect("it is never closed");
        let mut driver = Driver::new(&self, permit);
        loop {
            driver.step().await;
        }
    }

    /// Checks the keys until there are none, if no other task does.
    pub(super) async fn drive_until_idle(self: Arc<Self>) {
        while let Ok(permit) = self.driver.try_acquire() {
            let mut driver = Driver::new(&self, permit);
            while !self.is_idle() {
                driver.step().await;
            }
            // A stream that was opened meanwhile has seen that there is a task.
            drop(driver);
            if self.is_idle() {
                return;
            }
        }
    }
}

struct Driver<'a> {
    streams: &'a Arc<OpenStreams>,
    queue: VecDeque<Arc<Watched>>,
    lookups: FuturesUnordered<BoxFuture<'static, Arc<Watched>>>,
    ticks: Interval,
    permit: Option<SemaphorePermit<'a>>,
}

enum Event {
    Tick,
    Change,
    Checked(Arc<Watched>),
}

impl<'a> Driver<'a> {
    fn new(streams: &'a Arc<OpenStreams>, permit: SemaphorePermit<'a>) -> Self {
        let mut ticks = interval(streams.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A task before this one may have been dropped while it waited.
        streams.all().iter().for_each(|key| key.reset());
        let (queue, lookups) = (VecDeque::new(), FuturesUnordered::new());
        Self { streams, queue, lookups, ticks, permit: Some(permit) }
    }

    async fn step(&mut self) {
        self.check_queued().await;
        match self.event().await {
            Event::Tick => self.tick(),
            Event::Change => self.queue_due(),
            // It has changed while the store was asked.
            Event::Checked(key) if key.due() <= Instant::now() => self.add(key),
            Event::Checked(_) => {}
        }
    }

    /// Begins the checks that are next.
    async fn check_queued(&mut self) {
        let mut in_a_row = 0;
        while self.lookups.len() < MOST_AT_ONCE
            && let Some(key) = self.queue.pop_front()
        {
            if let Some(check) = self.streams.check(&key) {
                self.lookups.push(Box::pin(check.map(|()| key)));
            }
            in_a_row += 1;
            if in_a_row % MOST_IN_A_ROW == 0 {
                yield_now().await;
            }
        }
    }

    async fn event(&mut self) -> Event {
        let mut changed = pin!(self.streams.changed.notified());
        poll_fn(|cx| {
            if let Poll::Ready(Some(key)) = self.lookups.poll_next_unpin(cx) {
                return Poll::Ready(Event::Checked(key));
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Change);
            }
            self.ticks.poll_tick(cx).map(|_| Event::Tick)
        })
        .await
    }

    fn tick(&mut self) {
        // While the store is slow or away, keys still expire.
        let late = 2 * self.streams.interval;
        for key in self.streams.all() {
            if key.is_older_than(late) {
                self.streams.expire(&key);
            }
            self.add(key);
        }
    }

    fn queue_due(&mut self) {
        let now = Instant::now();
        self.streams.all().into_iter().filter(|key| key.due() <= now).for_each(|key| self.add(key));
    }

    fn add(&mut self, key: Arc<Watched>) {
        if key.queue() {
            self.queue.push_back(key);
        }
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        // One of the streams starts another task.
        self.streams.all().iter().for_each(|key| key.wake());
    }
}
