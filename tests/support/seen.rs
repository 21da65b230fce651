//! A reply as its client sees it, in a form that can be compared as a whole.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Body;
use http_body_util::BodyExt;

/// Status, every header and the body. Of `date` only the form is kept, since its value is the time of day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    /// `name: value`, sorted, each as often as it was sent.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn new<'a>(status: u16, headers: impl IntoIterator<Item = &'a str>, body: impl Into<Bytes>) -> Self {
        let mut headers: Vec<_> = headers.into_iter().map(masked).collect();
        headers.sort_unstable();
        Self { status, headers, body: body.into() }
    }

    pub(crate) async fn of<B>(response: Response<B>) -> Result<Self, B::Error>
    where
        B: Body<Data = Bytes>,
    {
        let (head, body) = response.into_parts();
        let lines = lines(&head.headers);
        let body = body.collect().await?.to_bytes();
        Ok(Self::new(head.status.as_u16(), lines.iter().map(String::as_str), body))
    }
}

/// Each header on a line of its own, in the order in which they came.
pub(crate) fn lines(headers: &HeaderMap) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect()
}

/// The line, or `date: *` for one that has the fixed length and the zone of an HTTP date.
pub(crate) fn masked(line: &str) -> String {
    match line.strip_prefix("date: ") {
        Some(date) if date.len() == "Sun, 06 Nov 1994 08:49:37 GMT".len() && date.ends_with(" GMT") => "date: *".into(),
        _ => line.into(),
    }
}
