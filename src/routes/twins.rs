//! Which lines can decide about the twin of a path: the same path with the trailing slash that it lacks, or without the one
//! that it has.

use std::collections::HashMap;

/// The segments of patterns, as a tree.
#[derive(Default)]
pub(super) struct Shapes<'a> {
    /// The next segments that are text.
    texts: HashMap<&'a str, Self>,
    /// The next segments that have a parameter.
    parameter: Option<Box<Self>>,
    /// Whether a pattern ends here.
    ends: bool,
    /// Whether the next segment takes the rest of the path.
    takes_rest: bool,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(patterns: impl Iterator<Item = &'a str>) -> Self {
        let mut root = Self::default();
        for pattern in patterns {
            let mut node = &mut root;
            for segment in pattern.split('/') {
                node.takes_rest |= takes_rest(segment);
                node = match has_parameter(segment) {
                    true => node.parameter.get_or_insert_default(),
                    false => node.texts.entry(segment).or_default(),
                };
            }
            node.ends = true;
        }
        root
    }

    /// Returns whether one of the patterns may match the twin of a path that `pattern` matches. True in doubt.
    pub(super) fn may_match_twin(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('/') {
            Some("") => false,
            Some(without) => self.may_match(&mut without.split('/')),
            None => self.may_match(&mut pattern.split('/').chain([""])),
        }
    }

    fn may_match<'p>(&self, segments: &mut (impl Iterator<Item = &'p str> + Clone)) -> bool {
        let Some(segment) = segments.next() else { return self.ends };
        let goes_on = |node: &Self| node.may_match(&mut segments.clone());
        let text = match has_parameter(segment) {
            true => self.texts.values().any(goes_on),
            false => self.texts.get(segment).is_some_and(goes_on),
        };
        text || self.takes_rest || takes_rest(segment) || self.parameter.as_deref().is_some_and(goes_on)
    }
}

/// Returns whether the segment may match several segments of a path.
fn takes_rest(segment: &str) -> bool {
    segment.contains("{*")
}

/// Returns whether the segment may match several texts.
fn has_parameter(segment: &str) -> bool {
    segment.contains(['{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twin_is_possible_where_patterns_overlap() {
        let shapes = Shapes::new(["/", "/a", "/b/", "/c/{d}", "/{e}/f/"].into_iter());
        for (pattern, possible) in [
            ("/", false),
            ("/a", false),
            ("/a/", true),
            ("/b", true),
            ("/b/", false),
            ("/c/{d}", true),
            ("/c/f", true),
            ("/c/{x}/", true),
            ("/{x}", true),
            ("/{x}/", true),
            ("/{x}/g", false),
            ("/b/{x}/c", false),
            ("/g/f/", false),
            ("/g/f", true),
            ("/{*x}", true),
        ] {
            assert_eq!(shapes.may_match_twin(pattern), possible, "{pattern}");
        }
    }

    #[test]
    fn twin_is_possible_where_a_text_precedes_a_rest() {
        let shapes = Shapes::new(["/h/i{*j}"].into_iter());
        for (pattern, possible) in
            [("/h/ii", true), ("/h/{x}/", true), ("/{x}/g", true), ("/g{*x}", true), ("/g/i", false)]
        {
            assert_eq!(shapes.may_match_twin(pattern), possible, "{pattern}");
        }
    }
}
