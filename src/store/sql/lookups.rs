//! Lookups that arrive while a statement is under way go out together, as the next one.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{Either, join_all, select};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::database::{Database, Rows};
use super::{MAX_BATCH, SqlError, row};
use crate::error_chain::panic_text;
use crate::key::KeyDigest;

/// While a statement of at most this age is under way, a lookup waits for the next statement.
///
/// A database on this host answers sooner, and costs less by batches. One that is far away, or busy, gets more statements at
/// once, so that no lookup waits for two answers in turn where one would do.
const PATIENCE: Duration = Duration::from_millis(1);

/// A statement is slow that takes longer.
const SLOW: Duration = Duration::from_millis(10);

/// The lookups of one store.
///
/// The first lookup is its own statement. No lookup joins a statement that is under way: what was changed before the
/// lookup began must be in its answer.
#[derive(Clone)]
pub(super) struct Lookups(Arc<Mutex<State>>);

struct State {
    waiting: Vec<Waiting>,
    /// How many statements are under way.
    lanes: usize,
    most: Lanes,
    /// When the last statement began.
    began: Instant,
    /// How long statements take, the last ones above all.
    takes: Duration,
}

impl State {
    fn may_begin_another(&self) -> bool {
        let most = if self.takes < SLOW { self.most.usual } else { self.most.slow };
        self.lanes < most && (self.takes >= PATIENCE || self.began.elapsed() >= PATIENCE)
    }
}

/// How many statements a database may run at once for lookups.
#[expect(unnameable_types, reason = "part of a sealed trait")]
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    pub(super) usual: usize,
    /// While statements are slow: then many wait for something else than the database's processors.
    pub(super) slow: usize,
}

struct Waiting {
    digest: KeyDigest,
    answer: oneshot::Sender<Result<Rows, Arc<SqlError>>>,
}

impl Lookups {
    /// Returns no lookups yet.
    pub(super) fn new(most: Lanes) -> Self {
        let state = State { waiting: vec![], lanes: 0, most, began: Instant::now(), takes: Duration::ZERO };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns the rows with this digest.
    pub(super) async fn find<B: Database>(&self, database: &Arc<B>, digest: &KeyDigest) -> Result<Rows, SqlError> {
        // A lookup that waits is given up where the runtime of the statement ends. Another runtime may go on.
        for _ in 0..3 {
            let answer = match self.enter(database, digest) {
                Entered::Alone(_lane) => return Ok(database.find(digest).await?),
                Entered::Waiting(answer) => answer,
            };
            match answer.await {
                Ok(answered) => return answered.map_err(SqlError::Batch),
                Err(_ended) => {}
            }
        }
        Err(failed("the runtime of the lookup has ended".to_owned()))
    }

    fn enter<B: Database>(&self, database: &Arc<B>, digest: &KeyDigest) -> Entered<B> {
        let mut state = self.state();
        let waits = state.lanes > 0 && !state.may_begin_another();
        if !waits {
            state.lanes += 1;
            state.began = Instant::now();
        }
        if !waits && state.waiting.is_empty() {
            return Entered::Alone(Alone(Some(Lane::new(self, database, &state))));
        }
        let (sender, answer) = oneshot::channel();
        state.waiting.push(Waiting { digest: *digest, answer: sender });
        let lane = if waits { None } else { Some(Lane::new(self, database, &state)) };
        drop(state);
        if let Some(lane) = lane {
            lane.spawn();
        }
        Entered::Waiting(answer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

enum Entered<B: Database> {
    Alone(Alone<B>),
    Waiting(oneshot::Receiver<Result<Rows, Arc<SqlError>>>),
}

/// The lane of a lookup that is a statement by itself. Those that wait at its end, or when its caller has gone away, go on in
/// a task.
struct Alone<B: Database>(Option<Lane<B>>);

impl<B: Database> Drop for Alone<B> {
    fn drop(&mut self) {
        let Some(lane) = self.0.take() else { return };
        let mut state = lane.lookups.state();
        lane.note_time(&mut state);
        let waits = !state.waiting.is_empty();
        drop(state);
        if waits {
            lane.spawn();
        }
    }
}

/// One statement after the other. When it is dropped, another lookup may take its place.
struct Lane<B: Database> {
    lookups: Lookups,
    database: Arc<B>,
    /// The caller may be dropped outside of any runtime.
    runtime: Handle,
    began: Instant,
    /// Whether the task has found that none waits, and has left.
    left: bool,
}

impl<B: Database> Lane<B> {
    fn new(lookups: &Lookups, database: &Arc<B>, state: &State) -> Self {
        let (lookups, database, runtime) = (lookups.clone(), Arc::clone(database), Handle::current());
        Self { lookups, database, runtime, began: state.began, left: false }
    }

    fn spawn(self) {
        self.runtime.clone().spawn(self.run());
    }

    async fn run(mut self) {
        while let Some(mut batch) = self.next_batch() {
            let digests: Vec<KeyDigest> = batch.iter().map(|waiting| waiting.digest).collect();
            let answered = {
                let look_up = AssertUnwindSafe(self.look_up(&digests)).catch_unwind();
                let all_gone = join_all(batch.iter_mut().map(|waiting| waiting.answer.closed()));
                match select(pin!(look_up), pin!(all_gone)).await {
                    Either::Left((answered, _)) => Some(answered),
                    Either::Right(_) => None,
                }
            };
            self.note_time(&mut self.lookups.state());
            if let Some(answered) = answered {
                let panicked = |panic: Box<_>| Err(failed(format!("a lookup panicked: {}", panic_text(&*panic))));
                answer(batch, answered.unwrap_or_else(panicked));
            }
        }
    }

    /// Takes the lookups that wait, without those that were given up.
    fn next_batch(&mut self) -> Option<Vec<Waiting>> {
        let mut state = self.lookups.state();
        state.waiting.retain(|waiting| !waiting.answer.is_closed());
        if state.waiting.is_empty() {
            state.lanes -= 1;
            self.left = true;
            return None;
        }
        let batch = state.waiting.len().min(MAX_BATCH);
        let batch = state.waiting.drain(..batch).collect();
        self.began = Instant::now();
        state.began = self.began;
        Some(batch)
    }

    async fn look_up(&self, digests: &[KeyDigest]) -> Result<HashMap<KeyDigest, Rows>, SqlError> {
        if let [digest] = digests {
            return Ok(HashMap::from([(*digest, self.database.find(digest).await?)]));
        }
        by_digest(self.database.find_many(digests).await?)
    }

    fn note_time(&self, state: &mut State) {
        state.takes = (state.takes * 3 + self.began.elapsed()) / 4;
    }
}

impl<B: Database> Drop for Lane<B> {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let mut state = self.lookups.state();
        state.lanes -= 1;
        // The runtime is ending. Those that wait must not wait for a lane that will not come.
        if state.lanes == 0 {
            state.waiting.clear();
        }
    }
}

/// Sorts rows by their digests.
pub(super) fn by_digest(rows: Rows) -> Result<HashMap<KeyDigest, Rows>, SqlError> {
    let mut sorted: HashMap<KeyDigest, Rows> = HashMap::with_capacity(rows.len());
    for row in rows {
        sorted.entry(row::digest(&row)?).or_default().push(row);
    }
    Ok(sorted)
}

fn answer(batch: Vec<Waiting>, answered: Result<HashMap<KeyDigest, Rows>, SqlError>) {
    let answered = answered.map_err(Arc::new);
    for Waiting { digest, answer } in batch {
        let rows = answered.as_ref().map(|rows| rows.get(&digest).cloned().unwrap_or_default());
        // The caller may have gone away.
        let _ = answer.send(rows.map_err(Arc::clone));
    }
}

fn failed(reason: String) -> SqlError {
    sqlx::Error::Io(std::io::Error::other(reason)).into()
}
