//! What was logged: on this thread at every level, and by the whole process from warnings on.

use std::cell::RefCell;
use std::sync::{Mutex, Once};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Stands in for every password in the tests. A line that contains it is kept at every level.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

thread_local! {
    static OF_THREAD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static OF_PROCESS: Mutex<Vec<Line>> = Mutex::new(Vec::new());
static WATCHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Line {
    target: String,
    /// `LEVEL text`.
    text: String,
}

/// Starts recording, and forgets what this thread has logged before.
pub(crate) fn record_log() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        log::set_logger(&Recorder).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    OF_THREAD.set(Some(Vec::new()));
}

/// Returns each line of this thread as `LEVEL text`, in order, and forgets them.
pub(crate) fn take_log() -> Vec<String> {
    OF_THREAD.with_borrow_mut(|lines| lines.as_mut().map(std::mem::take).unwrap_or_default())
}

/// Returns the warnings and errors of all threads that contain this text, as `LEVEL text`. Tests run in parallel: ask
/// for what only your test logs.
pub(crate) fn logged(needle: &str) -> Vec<String> {
    logged_by("", needle)
}

/// Returns those of [`logged`] whose target starts with `target`.
pub(crate) fn logged_by(target: &str, needle: &str) -> Vec<String> {
    let lines = OF_PROCESS.lock().unwrap();
    let lines = lines.iter().filter(|line| line.target.starts_with(target) && line.text.contains(needle));
    lines.map(|line| line.text.clone()).collect()
}

/// From now on, keeps lines of every level that contain this text.
pub(crate) fn watch_log_for(text: &str) {
    WATCHED.lock().unwrap().push(text.to_owned());
}

struct Recorder;

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = format!("{} {}", record.level(), record.args());
        let watched = || WATCHED.lock().unwrap().iter().any(|watched| text.contains(watched));
        if record.level() <= Level::Warn || text.contains(PASSWORD) || watched() {
            OF_PROCESS.lock().unwrap().push(Line { target: record.target().to_owned(), text: text.clone() });
        }
        OF_THREAD.with_borrow_mut(|lines| lines.iter_mut().for_each(|lines| lines.push(text.clone())));
    }

    fn flush(&self) {}
}
