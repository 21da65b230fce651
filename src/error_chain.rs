use std::any::Any;
use std::error::Error;
use std::iter::successors;

/// An error with its sources on one line, for the log. Control characters are escaped, since part of it may come
/// from elsewhere.
pub(crate) fn error_chain<'a>(error: &'a (dyn Error + 'static)) -> String {
    let sources = successors(Some(error), |error: &&'a (dyn Error + 'static)| (**error).source());
    let texts: Vec<_> = sources.map(|error| error.to_string().escape_debug().to_string()).collect();
    texts.join(": ")
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
