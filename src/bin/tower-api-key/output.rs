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
        self.line(&escaped(&line))
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
    without_harm(text, |harmful| harmful.escape_unicode().to_string())
}

/// Returns the same JSON with the same characters escaped, as JSON escapes them.
fn escaped(json: &str) -> String {
    without_harm(json, |harmful| {
        harmful.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    })
}

fn without_harm(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) {
            harmless.push(character);
        } else {
            harmless.push_str(&escape(character));
        }
    }
    harmless
}

fn is_harmless(character: char) -> bool {
    !character.is_control() && character.width().is_some_and(|width| width > 0)
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

    #[test]
    fn json_escaped_is_the_same_json() {
        for text in ["été 組織 \"ok\"", "\u{1b}[2J\u{9b}31m\u{7f}", "\u{202e}rtl\u{200b}", "\u{e0001}tag", "e\u{301}"]
        {
            let json = serde_json::to_string(text).unwrap();
            let escaped = escaped(&json);
            assert!(escaped.chars().all(is_harmless), "{escaped}");
            assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
