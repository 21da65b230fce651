//! How far long work is, on standard error, and only if that is a terminal.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::time::{Duration, Instant};

/// A line that is drawn over itself.
pub(crate) struct Progress {
    is_shown: bool,
    drawn: Option<Instant>,
}

const INTERVAL: Duration = Duration::from_millis(200);

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal(), drawn: None }
    }

    /// Shows a text in place of the last one, a few times a second.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.is_shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= INTERVAL) {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[2K{}", text());
            self.drawn = Some(Instant::now());
        }
    }

    /// Removes the text, so that a line can be written.
    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[2K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Awaits work that does not report how far it is, and shows for how long it has been under way.
pub(crate) async fn awaited<F: Future>(label: &str, work: F) -> F::Output {
    let (began, mut work, mut progress) = (Instant::now(), pin!(work), Progress::new());
    loop {
        match tokio::time::timeout(INTERVAL, &mut work).await {
            Ok(output) => return output,
            Err(_) => progress.show(|| format!("{label}, {} s", began.elapsed().as_secs())),
        }
    }
}
