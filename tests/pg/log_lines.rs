//! What was logged, by every thread of this process.

use std::sync::{Mutex, Once};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Stands in for every password in the tests. A line that holds it is kept whatever its level.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// Warnings and errors are kept from now on.
pub(crate) fn record_log() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        log::set_logger(&Recorder).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
}

/// The lines kept so far that hold this text. Tests run side by side: ask for what only your test logs.
pub(crate) fn logged(needle: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(needle)).cloned().collect()
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Recorder;

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        if record.level() <= Level::Warn || text.contains(PASSWORD) {
            LINES.lock().unwrap().push(format!("{} {text}", record.level()));
        }
    }

    fn flush(&self) {}
}
