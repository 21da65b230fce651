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

/// Returns the pattern without the names of its parameters: two patterns that match the same paths are then equal.
pub(super) fn without_names(pattern: &str) -> String {
    let piece = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Parameter(_) => "{}",
        Piece::Rest(_) => "{*}",
    };
    pieces(pattern).map(piece).collect()
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
        assert_eq!(without_names("/a{{b}}/x{c}/{*e}"), "/a{{b}}/x{}/{*}");
        for (pattern, prefix) in
            [("/{*a}", Some("")), ("/a/{b}/{*c}", Some("/a/{b}")), ("/a/{b}", None), ("/", None), ("/a/", None)]
        {
            assert_eq!(prefix_of_rest(pattern), prefix, "{pattern}");
        }
    }
}
