//! Which pattern matches a path.

use std::mem;

use super::pattern::{SegmentEnd, read_segment};

/// The patterns of a table, each with a value, as a radix tree.
///
/// Of several patterns that match a path, it finds the one that axum's matcher finds: text goes before a parameter.
#[derive(Clone, Default)]
pub(super) struct Tree<T>(Node<T>);

/// The patterns with the same beginning.
#[derive(Clone)]
struct Node<T> {
    /// The value of the pattern that ends here.
    value: Option<T>,
    /// The first byte of each text.
    firsts: Vec<u8>,
    /// The texts that follow, and the patterns that go on after them. No two texts begin with the same byte.
    texts: Vec<(Box<[u8]>, Self)>,
    parameter: Option<Parameter<T>>,
}

/// The parameter that follows, if the texts do not match.
#[derive(Clone)]
enum Parameter<T> {
    /// Up to the next slash.
    Segment(Box<Node<T>>),
    /// To the end of the path.
    Rest(T),
}

impl<T: Default> Tree<T> {
    /// Returns the value of a pattern that axum's matcher accepts, whatever the names of its parameters.
    pub(super) fn value(&mut self, pattern: &str) -> &mut T {
        let mut node = &mut self.0;
        for segment in pattern.split('/').skip(1) {
            let (text, end) = read_segment(segment);
            node = node.after_text(format!("/{text}").as_bytes());
            match end {
                SegmentEnd::Text => {}
                SegmentEnd::Parameter => node = node.after_parameter(),
                SegmentEnd::Rest => return node.rest(),
            }
        }
        node.value.get_or_insert_default()
    }
}

impl<T> Tree<T> {
    /// Returns what `choose` makes of the most specific pattern that matches the path, or the path and one more `slash`.
    /// Where that is nothing, the next pattern follows.
    pub(super) fn find<'t, R>(&'t self, path: &str, slash: bool, choose: impl Fn(&'t T) -> Option<R>) -> Option<R> {
        self.0.find(path.as_bytes(), slash, &choose)
    }
}

impl<T> Node<T> {
    fn find<'t, R>(&'t self, mut path: &[u8], mut slash: bool, choose: &impl Fn(&'t T) -> Option<R>) -> Option<R> {
        let mut node = self;
        loop {
            let Some(first) = path.first() else {
                if !slash {
                    return node.value.as_ref().and_then(choose);
                }
                (path, slash) = (b"/", false);
                continue;
            };
            if let Some(at) = node.firsts.iter().position(|other| other == first) {
                let (text, next) = &node.texts[at];
                if let Some((path_after, slash_after)) = strip(text, path, slash) {
                    if node.parameter.is_none() {
                        (node, path, slash) = (next, path_after, slash_after);
                        continue;
                    }
                    if let Some(found) = next.find(path_after, slash_after, choose) {
                        return Some(found);
                    }
                }
            }
            match &node.parameter {
                None => return None,
                // As for axum, it may be empty if a slash follows.
                Some(Parameter::Segment(next)) => {
                    let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
                    (node, path) = (next, &path[end..]);
                }
                Some(Parameter::Rest(value)) => return choose(value),
            }
        }
    }
}

/// Returns what follows the text in a path, or in a path and one more `slash`, and whether the slash is still to follow.
fn strip<'p>(text: &[u8], path: &'p [u8], slash: bool) -> Option<(&'p [u8], bool)> {
    match path.strip_prefix(text) {
        None if slash && text.strip_suffix(b"/") == Some(path) => Some((b"", false)),
        after => after.map(|after| (after, slash)),
    }
}

impl<T: Default> Node<T> {
    /// Returns the node after this text.
    fn after_text(&mut self, text: &[u8]) -> &mut Self {
        let Some(first) = text.first() else { return self };
        let Some(at) = self.firsts.iter().position(|other| other == first) else {
            self.firsts.push(*first);
            self.texts.push((text.into(), Self::default()));
            return &mut self.texts.last_mut().expect("it was added").1;
        };
        let (own, next) = &mut self.texts[at];
        let common = own.iter().zip(text).take_while(|(a, b)| a == b).count();
        if common < own.len() {
            let (before, after) = own.split_at(common);
            let split =
                Self { firsts: vec![after[0]], texts: vec![(after.into(), mem::take(next))], ..Self::default() };
            (*own, *next) = (before.into(), split);
        }
        next.after_text(&text[common..])
    }

    /// Returns the node after a parameter for a segment.
    fn after_parameter(&mut self) -> &mut Self {
        match self.parameter.get_or_insert_with(|| Parameter::Segment(Box::default())) {
            Parameter::Segment(next) => next,
            Parameter::Rest(_) => unreachable!("the matcher accepts one of both"),
        }
    }

    /// Returns the value of the pattern that takes the rest of the path.
    fn rest(&mut self) -> &mut T {
        match self.parameter.get_or_insert_with(|| Parameter::Rest(T::default())) {
            Parameter::Rest(value) => value,
            Parameter::Segment(_) => unreachable!("the matcher accepts one of both"),
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { value: None, firsts: Vec::new(), texts: Vec::new(), parameter: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn pattern() -> impl Strategy<Value = String> {
        let segment = select(vec![
            "a", "a", "b", "ab", "{x}", "{x}", "{y}", "a{x}", "ab{x}", "{{a}}", "{{{x}", "{x}}}", "a%20", "é",
        ]);
        let end = select(vec!["", "", "/", "/{*rest}", "/a{*rest}"]);
        (vec(segment, 0..4), end).prop_map(|(segments, end)| match format!("/{}{end}", segments.join("/")) {
            pattern if pattern.contains("//") => "/".to_owned(),
            pattern => pattern,
        })
    }

    fn path() -> impl Strategy<Value = String> {
        let segment = select(vec!["a", "a", "b", "ab", "abc", "b", "{a}", "{a", "a%20", "é", "c"]);
        (vec(segment, 0..5), select(vec!["", "/"])).prop_map(|(segments, end)| match segments.is_empty() {
            true => "/".to_owned(),
            false => format!("/{}{end}", segments.join("/")),
        })
    }

    /// The patterns that axum's matcher accepts together.
    fn accepted(patterns: Vec<String>) -> (matchit::Router<usize>, Tree<usize>) {
        let (mut router, mut tree) = (matchit::Router::new(), Tree::default());
        for (number, pattern) in (1..).zip(patterns) {
            if router.insert(&pattern, number).is_ok() {
                *tree.value(&pattern) = number;
            }
        }
        (router, tree)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn tree_finds_what_the_matcher_of_axum_finds(patterns in vec(pattern(), 1..12), paths in vec(path(), 1..12)) {
            let (router, tree) = accepted(patterns);
            for path in paths {
                let found = |path: &str| router.at(path).ok().map(|found| *found.value);
                prop_assert_eq!(tree.find(&path, false, |number| Some(*number)), found(&path), "{}", path);
                if !path.ends_with('/') {
                    prop_assert_eq!(tree.find(&path, true, |number| Some(*number)), found(&format!("{path}/")), "{}/", path);
                }
            }
        }

        /// A search among some patterns finds what the matcher of those patterns finds.
        #[test]
        fn search_skips_patterns_that_are_not_accepted(patterns in vec(pattern(), 1..12), path in path(), odd in any::<bool>()) {
            let (_, tree) = accepted(patterns.clone());
            let (mut all, mut some) = (matchit::Router::new(), matchit::Router::new());
            for (number, pattern) in (1..).zip(patterns) {
                if all.insert(&pattern, ()).is_ok() && (number % 2 == 1) == odd {
                    some.insert(&pattern, number).expect("less than all of them");
                }
            }
            let found = tree.find(&path, false, |number| Some(*number).filter(|number| (number % 2 == 1) == odd));
            prop_assert_eq!(found, some.at(&path).ok().map(|found| *found.value), "{}", path);
        }
    }
}
