//! Which lines can decide about the twin of a path: the same path with the trailing slash that it lacks, or without the one
//! that it has.

use std::collections::HashMap;

use super::pattern::prefix_of_rest;

/// Returns the pattern that matches a path where this one matches the path and a slash. `None` where it matches none that ends
/// with a slash, except for the root.
pub(super) fn before_added_slash(pattern: &str) -> Option<&str> {
    // The rest begins before the slash, since no path has an empty segment.
    let takes_a_rest = prefix_of_rest(pattern).is_some();
    if takes_a_rest { Some(pattern) } else { pattern.strip_suffix('/').filter(|cut| !cut.is_empty()) }
}

/// Returns whether each segment of the pattern is a text or one parameter. A brace that is written twice counts as neither.
pub(super) fn has_whole_segments(pattern: &str) -> bool {
    pattern.split('/').all(|segment| {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(segment);
        !has_parameter(name)
    })
}

/// The segments of patterns without `{*rest}`, as a tree.
#[derive(Default)]
pub(super) struct Shapes<'a> {
    /// The next segments that are text.
    texts: HashMap<&'a str, Self>,
    /// The next segments that have a parameter.
    parameter: Option<Box<Self>>,
    /// Whether a pattern ends here.
    ends: bool,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(patterns: impl Iterator<Item = &'a str>) -> Self {
        let mut root = Self::default();
        for pattern in patterns {
            let end = pattern.split('/').fold(&mut root, |node, segment| match has_parameter(segment) {
                true => &mut **node.parameter.get_or_insert_default(),
                false => node.texts.entry(segment).or_default(),
            });
            end.ends = true;
        }
        root
    }

    /// Returns whether one of the patterns may match the twin of a path that `pattern` matches. True in doubt.
    pub(super) fn may_match_twin(&self, pattern: &str) -> bool {
        if prefix_of_rest(pattern).is_some() {
            return true;
        }
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
        text || self.parameter.as_deref().is_some_and(goes_on)
    }
}

/// Returns whether the segment may match several texts.
fn has_parameter(segment: &str) -> bool {
    segment.contains(['{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_before_added_slash_matches_the_rest() {
        for (pattern, before) in
            [("/a/", Some("/a")), ("/a/{b}/", Some("/a/{b}")), ("/{*a}", Some("/{*a}")), ("/a", None), ("/", None)]
        {
            assert_eq!(before_added_slash(pattern), before, "{pattern}");
        }
    }

    #[test]
    fn segment_of_text_and_parameter_is_not_whole() {
        for (pattern, whole) in
            [("/", true), ("/a/{b}/", true), ("/{*a}", true), ("/a{b}", false), ("/{{a}}", false), ("/{a}b", false)]
        {
            assert_eq!(has_whole_segments(pattern), whole, "{pattern}");
        }
    }

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
}
