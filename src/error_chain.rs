use std::any::Any;
use std::error::Error;
use std::iter::successors;

/// Writes an error and its sources on one line, for the log. Control characters are escaped, since an error may quote
/// untrusted text.
pub(crate) fn error_chain<'a>(error: &'a (dyn Error + 'static)) -> String {
    let sources = successors(Some(error), |error: &&'a (dyn Error + 'static)| (**error).source());
    let mut line = String::new();
    for text in sources.map(|error| error.to_string().escape_debug().to_string()) {
        // Some errors already end with the text of their source.
        if !line.ends_with(&text) {
            line += if line.is_empty() { "" } else { ": " };
            line += &text;
        }
    }
    line
}

/// Returns the message of a caught panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] Option<Box<Outer>>);

    #[test]
    fn error_chain_repeated_source_is_written_once() {
        let source = |text| Some(Box::new(Outer(text, None)));
        assert_eq!(error_chain(&Outer("a", source("b\n"))), "a: b\\n");
        assert_eq!(error_chain(&Outer("from the database: no", source("no"))), "from the database: no");
    }
}
