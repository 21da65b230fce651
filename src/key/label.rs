use super::KeyHint;

/// What lists show of a key besides its id, in one text: the hint, a line break and the name. No hint has a line break,
/// so the first one ends it. Without a name there is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Label(Box<str>);

impl Label {
    pub(super) fn with_hint(&self, hint: &KeyHint) -> Self {
        Self::join(hint.as_str(), self.name())
    }

    pub(super) fn with_name(&self, name: &str) -> Self {
        Self::join(self.hint(), name)
    }

    pub(super) fn hint(&self) -> &str {
        self.parts().0
    }

    pub(super) fn name(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('\n').unwrap_or((&self.0, ""))
    }

    fn join(hint: &str, name: &str) -> Self {
        Self(if name.is_empty() { hint.into() } else { [hint, "\n", name].concat().into() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In either order, in the place of what was there before, and whatever either text is.
        #[test]
        fn hint_and_name_are_read_back_as_they_are(hint: String, name: String, old: String) {
            let (hint, old_hint) = (KeyHint::from_stored(&hint), KeyHint::from_stored(&old));
            let label = Label::default().with_hint(&hint).with_name(&name);
            prop_assert_eq!((label.hint(), label.name()), (hint.as_str(), &*name));
            let other = Label::default().with_name(&old).with_hint(&old_hint).with_name(&name).with_hint(&hint);
            prop_assert!(other == label);
        }
    }

    #[test]
    fn a_name_may_have_line_breaks() {
        let hint = KeyHint::from_stored("avk_...\n4567");
        for name in ["", "\n", "\n\n", "two\nlines", "two lines\n"] {
            let label = Label::default().with_name(name).with_hint(&hint);
            assert_eq!((label.hint(), label.name()), ("avk_...4567", name));
        }
    }

    #[test]
    fn takes_no_more_room_than_the_texts_and_one_byte() {
        let hint = KeyHint::from_stored("avk_...4567");
        for (label, len) in [
            (Label::default(), 0),
            (Label::default().with_hint(&hint), 11),
            (Label::default().with_name("ci"), 3),
            (Label::default().with_hint(&hint).with_name("ci"), 14),
        ] {
            assert_eq!(label.0.len(), len);
        }
    }
}
