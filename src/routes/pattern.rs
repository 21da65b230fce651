//! The pieces of a pattern.

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
