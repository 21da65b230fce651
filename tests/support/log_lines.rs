//! What was logged: on this thread at every level, and by the whole process from warnings on.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Every password in the tests. A line that contains it is kept at every level.
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
    // Takes the lines of the crate `log` too.
    INSTALLED.call_once(|| tracing_subscriber::registry().with(Recorder).init());
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

impl<S: Subscriber> Layer<S> for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // These write several lines for each request.
        let verbose = ["h2", "hyper", "mio", "tokio", "tower", "want"];
        let crate_name = metadata.target().split("::").next().unwrap_or_default();
        *metadata.level() <= Level::INFO || !verbose.contains(&crate_name)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let mut text = Text::default();
        event.record(&mut text);
        let text = format!("{level} {}{}", text.message, text.fields);
        let watched = || WATCHED.lock().unwrap().iter().any(|watched| text.contains(watched));
        if level <= Level::WARN || text.contains(PASSWORD) || watched() {
            OF_PROCESS.lock().unwrap().push(Line { target: target.to_owned(), text: text.clone() });
        }
        OF_THREAD.with_borrow_mut(|lines| lines.iter_mut().for_each(|lines| lines.push(text.clone())));
    }
}

/// The message of an event, and its fields as ` name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}").unwrap(),
            // How a line of the crate `log` arrives.
            name if name.starts_with("log.") => {}
            name => write!(self.fields, " {name}={value:?}").unwrap(),
        }
    }
}
