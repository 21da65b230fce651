use std::sync::Arc;

/// Longer names are cut where they are kept.
const MAX_LEN: usize = 256;

/// Returns the name of an actor as records keep it: every database can hold it.
pub(super) fn kept(actor: &str) -> Arc<str> {
    let is_kept = |character: &char| !character.is_control();
    if actor.len() <= MAX_LEN && actor.chars().all(|character| is_kept(&character)) {
        return actor.into();
    }
    actor.chars().filter(is_kept).take(MAX_LEN).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn actor_kept_is_short_and_without_controls(actor in "(?s).{0,300}") {
            let kept = kept(&actor);
            prop_assert!(kept.chars().count() <= MAX_LEN && !kept.contains(char::is_control));
            let clean: String = actor.chars().filter(|c| !c.is_control()).collect();
            prop_assert!(clean.starts_with(&*kept) && (kept.len() == clean.len() || kept.chars().count() == MAX_LEN));
        }
    }
}
