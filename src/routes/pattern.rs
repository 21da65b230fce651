/// The pattern of a line, and whether its parameters may have encoded characters.
///
/// A text alone is a pattern too: `builder.route(Method::GET, "/files/{id}", FILES_READ)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    pub(super) text: String,
    pub(super) encoded_parameters: bool,
}

impl RoutePattern {
    /// Returns the pattern with this text. [`RouteTable`](super::RouteTable) has the syntax.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), encoded_parameters: false }
    }

    /// Accepts any encoded character in the parameters, such as `a%2Fb`, `100%25` and `%7Eb` under `/files/{id}`. By default
    /// a path with an encoded letter, `/`, `\`, `;`, `%`, `-`, `.`, `_` or `~` is rejected.
    ///
    /// The path is matched undecoded, as axum does: `a%2Fb` is one segment. Use it only for routers that do so too, and for
    /// handlers that take the decoded value for an identifier. Control characters stay rejected, and so do values that have a
    /// segment `.` or `..` when they are decoded.
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::Requirement;
    /// use tower_api_key::routes::{RoutePattern, RouteTable};
    ///
    /// let file = RoutePattern::new("/files/{id}").with_encoded_parameters();
    /// let table = RouteTable::builder().route(Method::GET, file, Requirement::any_key()).build()?;
    /// assert_eq!(table.methods("/files/a%2Fb").count(), 1);
    /// assert_eq!(table.methods("/files/..%2Fb").count(), 0);
    /// # Ok::<(), tower_api_key::routes::RouteTableError>(())
    /// ```
    #[must_use]
    pub fn with_encoded_parameters(self) -> Self {
        Self { encoded_parameters: true, ..self }
    }
}

impl From<&str> for RoutePattern {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for RoutePattern {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text of the path. A brace is written twice.
    Text(&'a str),
    /// The name of a parameter.
    Parameter(&'a str),
    /// The name of a parameter for the rest of the path.
    Rest(&'a str),
}

/// Returns the pieces of a pattern that the matcher accepts.
pub(super) fn pieces(pattern: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = pattern;
    std::iter::from_fn(move || {
        let brace = rest.find(['{', '}']).unwrap_or(rest.len());
        let (piece, length) = match rest.get(brace..brace + 2) {
            _ if rest.is_empty() => return None,
            _ if brace > 0 => (Piece::Text(&rest[..brace]), brace),
            Some("{{" | "}}") => (Piece::Text(&rest[..2]), 2),
            _ => {
                let name = rest[1..].split_once('}')?.0;
                (name.strip_prefix('*').map_or(Piece::Parameter(name), Piece::Rest), name.len() + 2)
            }
        };
        rest = &rest[length..];
        Some(piece)
    })
}

/// What a segment of a pattern has after its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentEnd {
    Text,
    Parameter,
    Rest,
}

/// Returns the text at the start of a segment, as it is in a path, and what follows it.
pub(super) fn read_segment(segment: &str) -> (String, SegmentEnd) {
    let mut text = String::new();
    for piece in pieces(segment) {
        match piece {
            Piece::Text("{{") => text.push('{'),
            Piece::Text("}}") => text.push('}'),
            Piece::Text(piece) => text.push_str(piece),
            // The matcher accepts no text after it.
            Piece::Parameter(_) => return (text, SegmentEnd::Parameter),
            Piece::Rest(_) => return (text, SegmentEnd::Rest),
        }
    }
    (text, SegmentEnd::Text)
}

/// Returns the values of the parameters in a path that this pattern matches, or its first segments.
pub(super) fn values<'p>(pattern: &str, path: &'p str) -> impl Iterator<Item = &'p str> {
    let mut left = path;
    pattern.split('/').filter_map(move |segment| {
        let (text, end) = read_segment(segment);
        let at = if end == SegmentEnd::Rest { None } else { left.find('/') };
        let (own, rest) = left.split_at(at.unwrap_or(left.len()));
        left = rest.strip_prefix('/').unwrap_or(rest);
        if end == SegmentEnd::Text { None } else { own.get(text.len()..) }
    })
}

/// Returns what is before the slash of a last segment that is `{*rest}`. `None` for other patterns.
pub(super) fn prefix_of_rest(pattern: &str) -> Option<&str> {
    pattern.rsplit_once('/').filter(|(_, last)| last.starts_with("{*")).map(|(prefix, _)| prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_is_taken_apart() {
        let pieces: Vec<_> = pieces("/a{{b}}/x{c}/{d}/{*e}").collect();
        assert_eq!(
            pieces,
            [
                Piece::Text("/a"),
                Piece::Text("{{"),
                Piece::Text("b"),
                Piece::Text("}}"),
                Piece::Text("/x"),
                Piece::Parameter("c"),
                Piece::Text("/"),
                Piece::Parameter("d"),
                Piece::Text("/"),
                Piece::Rest("e"),
            ]
        );
        for (pattern, prefix) in
            [("/{*a}", Some("")), ("/a/{b}/{*c}", Some("/a/{b}")), ("/a/{b}", None), ("/", None), ("/a/", None)]
        {
            assert_eq!(prefix_of_rest(pattern), prefix, "{pattern}");
        }
    }
    #[test]
    fn segment_is_read_up_to_its_parameter() {
        for (segment, text, end) in [
            ("", "", SegmentEnd::Text),
            ("a", "a", SegmentEnd::Text),
            ("{{a}}b", "{a}b", SegmentEnd::Text),
            ("{a}", "", SegmentEnd::Parameter),
            ("b{a}", "b", SegmentEnd::Parameter),
            ("{{{a}", "{", SegmentEnd::Parameter),
            ("{a}}b}", "", SegmentEnd::Parameter),
            ("{*a}", "", SegmentEnd::Rest),
            ("b}}{*a}", "b}", SegmentEnd::Rest),
        ] {
            assert_eq!(read_segment(segment), (text.to_owned(), end), "{segment}");
        }
    }

    #[test]
    fn values_are_those_of_the_parameters() {
        for (pattern, path, expected) in [
            ("/a/b", "/a/b", &[][..]),
            ("/{a}/b/c{d}/", "/1/b/c23/", &["1", "23"]),
            ("/{a}}}/{c}", "/x/%2e", &["x", "%2e"]),
            ("/a/{*rest}", "/a/b/c/", &["b/c/"]),
            ("/{a}/{*rest}", "/1", &["1", ""]),
            ("/{a}/{*rest}", "/1/", &["1", ""]),
        ] {
            assert!(values(pattern, path).eq(expected.iter().copied()), "{pattern}");
        }
    }
}
