use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::terms::Terms;
use crate::auth::lookup::LookupError;
use crate::key::{KeyDigest, KeyRecord};
use crate::rejection::Outage;
use crate::rejection::reason::Rejection;
use crate::scope::Requirement;
use crate::store::Invalidation;

/// A key with open streams, which share its check.
pub(super) struct Watched {
    pub(super) digest: KeyDigest,
    state: Mutex<State>,
}

struct State {
    /// As the store last had it.
    record: Option<Arc<KeyRecord>>,
    /// When the store was asked for its last answer.
    answered: Instant,
    /// Why it has given no answer since.
    failure: Option<Outage>,
    /// When the store is to be asked again.
    due: Instant,
    progress: Progress,
    /// Whether the key changed while the store was asked.
    changed: bool,
    streams: HashMap<u64, Stream>,
    next: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The last check has ended.
    Idle,
    /// The store will be asked.
    Queued,
    /// The store has been asked.
    Asked,
}

struct Stream {
    terms: Terms,
    ended: Option<Rejection>,
    waker: Option<Waker>,
}

/// What the store has answered, or why it has not.
pub(super) type Answered = Result<Option<Arc<KeyRecord>>, Box<LookupError>>;

/// How the streams of a key came through a check.
pub(super) struct Checked {
    pub(super) ended: usize,
    pub(super) rejection: Option<Rejection>,
    pub(super) error: Option<Box<LookupError>>,
}

impl Checked {
    pub(super) fn log(&self) {
        if let Some(rejection) = self.rejection {
            tracing::info!(reason = rejection.code(), streams = self.ended, "open streams of a key have ended");
        }
    }
}

impl Watched {
    pub(super) fn new(digest: KeyDigest, record: Arc<KeyRecord>, interval: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            record: Some(record),
            answered: now,
            failure: None,
            due: now + interval,
            progress: Progress::Idle,
            changed: false,
            streams: HashMap::new(),
            next: 0,
        };
        Self { digest, state: Mutex::new(state) }
    }

    pub(super) fn open(&self, terms: Terms) -> u64 {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.streams.insert(number, Stream { terms, ended: None, waker: None });
        number
    }

    /// Closes a stream. Returns whether it was the last one.
    pub(super) fn close(&self, number: u64) -> bool {
        let mut state = self.state();
        state.streams.remove(&number);
        state.streams.is_empty()
    }

    /// Returns why the stream has ended, or wakes the task when it does.
    pub(super) fn poll_ended(&self, number: u64, cx: &mut Context<'_>) -> Poll<Rejection> {
        let mut state = self.state();
        let Some(stream) = state.streams.get_mut(&number) else { return Poll::Pending };
        if let Some(rejection) = stream.ended {
            return Poll::Ready(rejection);
        }
        match &mut stream.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// How long the store may take. The layers of the streams have the same store, and most often the same timeout.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.state().streams.values().find_map(|stream| stream.terms.config.lookup_timeout)
    }

    pub(super) fn due(&self) -> Instant {
        self.state().due
    }

    /// Puts the key into a queue. Returns whether it was in none and the store is not being asked.
    pub(super) fn queue(&self) -> bool {
        let mut state = self.state();
        let is_idle = state.progress == Progress::Idle;
        if is_idle {
            state.progress = Progress::Queued;
        }
        is_idle
    }

    pub(super) fn begin(&self) {
        let mut state = self.state();
        (state.progress, state.changed) = (Progress::Asked, false);
    }

    /// Notes that the key is in no queue, and that no answer of the store is to come.
    pub(super) fn reset(&self) {
        self.state().progress = Progress::Idle;
    }

    /// Ends the streams that this answer ends.
    pub(super) fn apply(&self, asked: Instant, answer: Answered, interval: Duration, outage: Duration) -> Checked {
        let mut state = self.state();
        state.progress = Progress::Idle;
        state.due = if state.changed { Instant::now() } else { asked + interval };
        let (gone, error) = match answer {
            Ok(found) => {
                (state.answered, state.failure, state.record) = (asked, None, found);
                (None, None)
            }
            Err(error) => {
                state.failure = Some(error.outage);
                (state.gone(outage), Some(error))
            }
        };
        let (ended, rejection) = end(state, gone);
        Checked { ended, rejection, error }
    }

    /// Ends the streams of a key that has expired since the last answer, or whose last answer is too old.
    pub(super) fn expire(&self, outage: Duration) -> Checked {
        let state = self.state();
        let gone = state.gone(outage);
        let (ended, rejection) = end(state, gone);
        Checked { ended, rejection, error: None }
    }

    /// Returns whether the last answer is older than this.
    pub(super) fn is_older_than(&self, time: Duration) -> bool {
        self.state().answered.elapsed() > time
    }

    /// Returns whether this change may be about the key.
    pub(super) fn is_meant(&self, change: &Invalidation) -> bool {
        let state = self.state();
        let Some(record) = &state.record else { return true };
        match change {
            Invalidation::Digest(digest) => *digest == self.digest,
            Invalidation::Key(id) => record.id() == *id,
            Invalidation::Organization(organization) => record.organization() == organization,
            Invalidation::All => true,
        }
    }

    /// Notes that the key has changed: the store is to be asked now, again if it is being asked.
    pub(super) fn note_change(&self) {
        let mut state = self.state();
        (state.changed, state.due) = (true, Instant::now());
    }

    /// Adds a requirement to a stream, which is to be checked now.
    pub(super) fn require(&self, number: u64, requirement: Requirement) {
        if let Some(stream) = self.state().streams.get_mut(&number) {
            stream.terms.require(requirement);
        }
        self.note_change();
    }

    /// Wakes every stream.
    pub(super) fn wake(&self) {
        let wakers: Vec<_> = self.state().streams.values_mut().filter_map(|stream| stream.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns why every stream ends, if the last answer is this old.
    fn gone(&self, outage: Duration) -> Option<Rejection> {
        (self.answered.elapsed() >= outage).then(|| self.failure.unwrap_or(Outage::TimedOut).into())
    }
}

/// Ends every stream for this reason, or those whose terms the record no longer meets. Returns how many, and a reason.
fn end(mut state: MutexGuard<'_, State>, gone: Option<Rejection>) -> (usize, Option<Rejection>) {
    let State { record, streams, .. } = &mut *state;
    let (mut wakers, mut ended, mut reason) = (Vec::new(), 0, None);
    for stream in streams.values_mut().filter(|stream| stream.ended.is_none()) {
        let checked = gone.map_or_else(|| stream.terms.check(record.as_deref()), Err);
        if let Err(rejection) = checked {
            stream.ended = Some(rejection);
            wakers.extend(stream.waker.take());
            (ended, reason) = (ended + 1, Some(rejection));
        }
    }
    drop(state);
    // Not while the key is locked: a waker may do anything.
    wakers.into_iter().for_each(Waker::wake);
    (ended, reason)
}
