use std::any::Any;
use std::error::Error;
use std::iter::successors;

/// An error with its sources on one line, for the log. Control characters are escaped, since part of it may come
/// from elsewhere.
pub(crate) fn error_chain<'a>(error: &'a (dyn Error + 'static)) -> String {
    let sources = successors(Some(error), |error: &&'a (dyn Error + 'static)| (**error).source());
    let mut line = String::new();
    for text in sources.map(|error| error.to_string().escape_debug().to_string()) {
        // Some errors end with the words of their source.
        if !line.ends_with(&text) {
            line += if line.is_empty() { "" } else { ": " };
            line += &text;
        }
    }
    line
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    #[test]
    fn what_an_error_repeats_of_its_source_is_told_once() {
        let source = |text| Some(Box::new(Told(text, None)));
        assert_eq!(error_chain(&Told("a", source("b\n"))), "a: b\\n");
        assert_eq!(error_chain(&Told("from the database: no", source("no"))), "from the database: no");
    }
}
