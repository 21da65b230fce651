use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;
use unicode_width::UnicodeWidthChar;

use crate::failure::Failure;

/// Standard output, for people or for programs.
pub(crate) struct Output {
    is_json: bool,
    out: BufWriter<Stdout>,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self { is_json, out: BufWriter::new(io::stdout()) }
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.is_json
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(|error| Failure::output(&error))
    }

    /// Writes an object on a line of its own.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(object).map_err(|error| Failure::failed(error.to_string()))?;
        self.line(&line)
    }

    /// Writes an object for programs, or else a line for people.
    pub(crate) fn either(&mut self, object: &impl Serialize, text: &str) -> Result<(), Failure> {
        if self.is_json { self.object(object) } else { self.line(text) }
    }

    /// Must be called at the end: what cannot be written would otherwise go unnoticed.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::output(&error))
    }
}

/// Writes a line for people to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Returns a text as a terminal may show it: names and metadata are what customers wrote. Characters that move the cursor,
/// reverse the text or are invisible are escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || character.width().is_none_or(|width| width == 0) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shown_controls_no_terminal() {
        assert_eq!(shown("été 組織 ok"), "été 組織 ok");
        for text in ["\u{1b}[2J", "a\nb", "\u{9b}31m", "\u{202e}rtl", "a\u{200b}b", "\u{2066}x", "\u{7f}"] {
            let shown = shown(text);
            assert!(shown.contains("\\u{"), "{shown}");
            assert!(shown.chars().all(|shown| shown.is_ascii_graphic()), "{shown}");
        }
    }
}
