use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fmt, fs, io};

use super::memory::MemoryStore;
use crate::BoxError;
use crate::error_chain::error_chain;
use crate::key::{KeyDigest, KeyRecord};

/// Keys that a file lists, such as one that a deployment mounts. They are in a [`MemoryStore`], and follow the file while
/// [`run`](Self::run) runs.
///
/// The file has any form that a function of yours reads: JSON, TOML, YAML. With the feature `serde`, a
/// [`KeyRecord`] is one of its values. The file holds digests and never a key.
///
/// A changed file replaces all keys in one step, and applies to the next request. A file that cannot be read, or has an
/// error, changes nothing, and the log has one line with the reason. Write a new file and rename it over the old one: a
/// file that is read while it is written can look complete.
///
/// A clone is a handle to the same keys.
///
/// ```no_run
/// # #[cfg(feature = "serde")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_api_key::ApiKeyLayer;
/// use tower_api_key::background::Background;
/// use tower_api_key::store::KeyFile;
///
/// let file = KeyFile::open("/etc/acme/keys.json", |text| Ok(serde_json::from_str(text)?))?;
/// let background = Background::new();
/// background.run(file.run());
/// let layer = ApiKeyLayer::new(file.keys().clone());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KeyFile {
    keys: MemoryStore,
    interval: Duration,
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    parse: Box<Parse>,
    state: Mutex<State>,
}

type Parse = dyn Fn(&str) -> Result<Vec<KeyRecord>, BoxError> + Send + Sync;

/// What was seen of the file.
#[derive(Default)]
struct State {
    stamp: Option<Stamp>,
    /// SHA-256 of the content that was read last, valid or not.
    content: Option<KeyDigest>,
    /// Why the file could not be used.
    fault: Option<String>,
}

/// Another stamp means another file. The same stamp means the same file only if it is not new.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
    is_settled: bool,
}

/// How coarse the times of a file system may be.
const COARSE: Duration = Duration::from_secs(3);

impl KeyFile {
    /// Reads this file, and the keys in it with this function. Blocks while it reads.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file cannot be read, the function returns an error, or a key is listed twice.
    pub fn open<F>(path: impl Into<PathBuf>, parse: F) -> Result<Self, KeyFileError>
    where
        F: Fn(&str) -> Result<Vec<KeyRecord>, BoxError> + Send + Sync + 'static,
    {
        let shared = Shared { path: path.into(), parse: Box::new(parse), state: Mutex::default() };
        let file = Self { keys: MemoryStore::new(), interval: Duration::from_secs(1), shared: Arc::new(shared) };
        file.reload()?;
        Ok(file)
    }

    /// Looks for a change this often, once a second by default.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Returns the keys of the file.
    #[must_use]
    pub const fn keys(&self) -> &MemoryStore {
        &self.keys
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Reads the file now, for a signal or a button, and returns whether a key has changed. Blocks while it reads.
    ///
    /// # Errors
    /// As those of [`open`](Self::open). Then no key has changed.
    pub fn reload(&self) -> Result<bool, KeyFileError> {
        let mut state = self.shared.state();
        (state.stamp, state.content) = (None, None);
        let read = self.read(&mut state).unwrap_or(Ok(false));
        read.map_err(|cause| KeyFileError { path: self.shared.path.clone(), cause })
    }

    /// Follows the file until it is dropped: run it in a [`Background`](crate::background::Background), next to the server.
    ///
    /// The time of the file and its length are read in each interval, and its content when they have changed.
    ///
    /// # Panics
    /// On a runtime other than tokio's, or one without its timer.
    pub fn run(&self) -> impl Future<Output = ()> + Send + use<> {
        let file = self.clone();
        async move {
            loop {
                tokio::time::sleep(file.interval).await;
                let this = file.clone();
                if let Err(error) = tokio::task::spawn_blocking(move || this.follow()).await {
                    tracing::error!("reading the key file {} failed: {error}", file.path().display());
                }
            }
        }
    }

    /// Reads the file if it may have changed, and logs what came of it.
    fn follow(&self) {
        let mut state = self.shared.state();
        let path = self.shared.path.display();
        match self.read(&mut state) {
            None => {}
            Some(Ok(changed)) => {
                let was_faulty = state.fault.take().is_some();
                if changed {
                    tracing::info!("the key file {path} has changed, and the keys with it");
                } else if was_faulty {
                    tracing::info!("the key file {path} can be used again, and has the same keys as before");
                }
            }
            Some(Err(cause)) => {
                let fault = error_chain(&*cause);
                if state.fault.as_ref() != Some(&fault) {
                    tracing::warn!("cannot use the key file {path}, keeping the keys as they are: {fault}");
                    state.fault = Some(fault);
                }
            }
        }
    }

    /// Reads the file if it may have changed. Returns `None` if it has not, or else whether a key has.
    fn read(&self, state: &mut State) -> Option<Result<bool, BoxError>> {
        match self.changed_text(state) {
            Ok(Some(text)) => Some((self.shared.parse)(&text).and_then(|keys| Ok(self.keys.replace_all(keys)?))),
            Ok(None) => None,
            Err(error) => {
                (state.stamp, state.content) = (None, None);
                Some(Err(error.into()))
            }
        }
    }

    /// Returns the content of the file if it may be another one than before.
    fn changed_text(&self, state: &mut State) -> io::Result<Option<String>> {
        let stamp = Stamp::of(&fs::metadata(&self.shared.path)?)?;
        if stamp.is_settled && state.stamp == Some(stamp) {
            return Ok(None);
        }
        let text = fs::read_to_string(&self.shared.path)?;
        let content = KeyDigest::hash(text.as_bytes());
        state.stamp = Some(stamp);
        let is_same = state.content.replace(content) == Some(content);
        Ok(Some(text).filter(|_| !is_same))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(file: &fs::Metadata) -> io::Result<Self> {
        let modified = file.modified()?;
        let is_settled = modified.elapsed().is_ok_and(|age| age > COARSE);
        Ok(Self { modified, len: file.len(), is_settled })
    }
}

/// The keys of a file could not be read. The cause does not have the content of the file, unless the function that reads
/// it puts it there.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the key file {}: {cause}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    #[source]
    cause: BoxError,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("path", &self.shared.path)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
