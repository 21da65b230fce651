//! The statements that list keys.
//!
//! Each filter has an index in the order of the list, except for three: whether a key is active or expired depends on the
//! time, as does an expiry before a time, and a text can be anywhere. For these, the newest keys are read first. If they do
//! not fill the page, the matching keys are found by another index and sorted.
//!
//! A text is looked for in the keys that the other filters leave. If those are many, an index finds the keys with each three
//! characters of the text, and the statement keeps those with the text itself.

use crate::key::KeyStatus;
use crate::store::{ListKeys, Organizations};

/// How to find a page of keys: of one organization, or of all.
#[expect(unnameable_types, reason = "part of a sealed trait")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Of the newest keys alone.
    Newest,
    /// Of all keys, one after the other.
    Whole,
    Revoked,
    Suspended,
    Environment,
    Creator,
    Active,
    Expired,
    ExpiresBefore,
    /// Of the keys with the words of a text.
    Search,
    /// Of all keys of all organizations, one after the other.
    All,
    /// Of the newest keys of all organizations alone.
    AllNewest,
    /// Of the keys of all organizations with the words of a text.
    AllSearch,
}

impl Plan {
    /// Returns the plans to try one after the other: until one fills the page, or to the last one, which finds every key.
    pub(super) fn of(query: &ListKeys) -> &'static [Self] {
        match query.status() {
            Some(KeyStatus::Revoked) => return &[Self::Revoked],
            Some(KeyStatus::Suspended) => return &[Self::Suspended],
            _ => {}
        }
        if query.created_by().is_some() {
            &[Self::Creator]
        } else if query.expires_before().is_some() {
            &[Self::Newest, Self::ExpiresBefore]
        } else if query.status() == Some(KeyStatus::Active) {
            &[Self::Newest, Self::Active]
        } else if query.status() == Some(KeyStatus::Expired) {
            &[Self::Newest, Self::Expired]
        } else if query.environment().is_some() {
            &[Self::Environment]
        } else {
            &[Self::Whole]
        }
    }

    /// Returns the plans for a text among many keys.
    pub(super) const fn of_search() -> &'static [Self] {
        &[Self::Newest, Self::Search]
    }

    /// Returns the plans for the keys of all organizations, with a text or without.
    pub(super) const fn of_all(text: Option<&str>) -> &'static [Self] {
        match text {
            Some(_) => &[Self::AllNewest, Self::AllSearch],
            None => &[Self::All],
        }
    }

    /// Whether the statement needs the words of a text.
    pub(super) fn takes_words(self) -> bool {
        matches!(self, Self::Search | Self::AllSearch)
    }

    /// Returns the plan whose index has the fewest keys with this text.
    pub(super) fn of_candidates(query: &ListKeys) -> Self {
        match Self::of(query) {
            [plan @ (Self::Revoked | Self::Suspended | Self::Environment | Self::Creator)] => *plan,
            _ => Self::Whole,
        }
    }
}

/// Among so many keys, a text is looked for by reading them.
pub(super) const FEW: i64 = 5000;

/// The columns of a key, in the order of `row::decode`.
macro_rules! columns {
    () => {
        "SELECT k.id, k.digest, k.organization, k.name, k.hint, k.environment, k.access, k.scopes, k.networks, k.metadata, \
         k.created_at, k.created_by, k.imported, k.suspended, k.expires_at, k.revoked_at, k.replaced_by, \
         u.last_used_at, u.requests, (SELECT max(m.compatible_from) FROM tower_api_key_migrations m), \
         o.max_key_age, CASE WHEN o.organization IS NULL THEN 0 ELSE coalesce(o.disabled, 1) END "
    };
}

macro_rules! joins {
    () => {
        " LEFT JOIN tower_api_key_usage u ON u.key = k.id \
         LEFT JOIN tower_api_key_organizations o ON o.organization = k.organization "
    };
}

/// With the status `$5` at the time `$4`, the environment `$7`, the creator `$8` and the pattern `$9`, where empty means any;
/// with an expiry before `$10`, or any if that is the latest time.
macro_rules! filters {
    ($aged:literal, $name:literal, $hint:literal) => {
        concat!(
            "($5 = '' OR $5 = CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.suspended <> 0 THEN 'suspended' \
             WHEN k.expires_at <= $4 OR ",
            $aged,
            " THEN 'expired' ELSE 'active' END) \
             AND ($7 = '' OR k.environment = $7) AND ($8 = '' OR k.created_by = $8) \
             AND ($9 = '' OR ",
            $name,
            " LIKE $9 ESCAPE '!' OR ",
            $hint,
            " LIKE $9 ESCAPE '!') AND ($10 = 9223372036854775807 OR k.expires_at < $10)"
        )
    };
}

/// After the cursor `$2, $3`, at most `$6`, the newest first.
macro_rules! newest_first {
    () => {
        " AND (k.created_at, k.id) < ($2, $3) ORDER BY k.created_at DESC, k.id DESC LIMIT $6"
    };
}

/// The same, without the index that has the keys in this order: few keys are found, and then sorted.
macro_rules! sorted {
    () => {
        " AND (+k.created_at, k.id) < ($2, $3) ORDER BY +k.created_at DESC, k.id DESC LIMIT $6"
    };
}

/// The same, of the keys that were created before `$11`. There may be none, which the index shows at once.
macro_rules! aged_newest_first {
    () => {
        " AND (k.created_at, k.id) < \
         (CASE WHEN $11 < $2 THEN $11 ELSE $2 END, CASE WHEN $11 < $2 THEN '' ELSE $3 END) \
         ORDER BY k.created_at DESC, k.id DESC LIMIT $6"
    };
}

/// The keys in the index of a plan, of which `$value` selects those of one filter.
macro_rules! indexed {
    (Whole, $value:literal) => {
        "k.id IS NOT NULL"
    };
    (Revoked, $value:literal) => {
        "k.revoked_at IS NOT NULL"
    };
    (Suspended, $value:literal) => {
        "k.suspended = 1 AND k.revoked_at IS NULL"
    };
    (Environment, $value:literal) => {
        concat!("k.environment = ", $value)
    };
    (Creator, $value:literal) => {
        concat!("k.created_by = ", $value)
    };
}

/// Counts the keys of the organization `$1` in the index of a plan, after the cursor `$2, $3`, up to `$5`. `$4` is the
/// environment, the creator, or empty.
pub(super) const fn count_candidates(plan: Plan) -> &'static str {
    macro_rules! count {
        ($plan:ident, $and:literal) => {
            concat!(
                "SELECT count(*) FROM (SELECT 1 FROM tower_api_key_keys k WHERE k.organization = $1 AND ",
                indexed!($plan, "$4"),
                $and,
                " AND (k.created_at, k.id) < ($2, $3) LIMIT $5) c"
            )
        };
    }
    match plan {
        Plan::Revoked => count!(Revoked, " AND $4 = ''"),
        Plan::Suspended => count!(Suspended, " AND $4 = ''"),
        Plan::Environment => count!(Environment, ""),
        Plan::Creator => count!(Creator, ""),
        _ => count!(Whole, " AND $4 = ''"),
    }
}

/// The statements of one database, with what makes a name and a hint lower case there, the active keys that never expire in
/// the order of their index, and where the keys `k` are whose words match `$12`.
macro_rules! listing {
    ($database:ident, $name:literal, $hint:literal, $lasting:literal, $lasting_order:ident, $matching:literal) => {
        pub(super) const fn $database(plan: Plan) -> &'static str {
            // The ids of a page of the keys that this finds.
            macro_rules! ids {
                ($predicate:expr, $order:ident) => {
                    concat!(
                        "SELECT k.id, k.created_at FROM tower_api_key_keys k WHERE k.organization = $1 AND ",
                        $predicate,
                        " AND ",
                        filters!("k.created_at < $11", $name, $hint),
                        $order!()
                    )
                };
            }
            macro_rules! page {
                ($ids:expr) => {
                    concat!(
                        columns!(),
                        "FROM (",
                        $ids,
                        ") p JOIN tower_api_key_keys k ON k.id = p.id",
                        joins!(),
                        "ORDER BY k.created_at DESC, k.id DESC LIMIT $6"
                    )
                };
            }
            macro_rules! either {
                ($one:expr, $other:expr) => {
                    concat!("SELECT * FROM (", $one, ") a UNION SELECT * FROM (", $other, ") b")
                };
            }
            match plan {
                Plan::Newest => page!(concat!(
                    "SELECT k.id, k.created_at FROM (SELECT * FROM tower_api_key_keys k WHERE k.organization = $1 \
                     AND (k.created_at, k.id) < ($2, $3) ORDER BY k.created_at DESC, k.id DESC LIMIT 5000) k WHERE ",
                    filters!("k.created_at < $11", $name, $hint),
                    newest_first!()
                )),
                Plan::Whole => page!(ids!(indexed!(Whole, ""), newest_first)),
                Plan::Revoked => page!(ids!(indexed!(Revoked, ""), newest_first)),
                Plan::Suspended => page!(ids!(indexed!(Suspended, ""), newest_first)),
                Plan::Environment => page!(ids!(indexed!(Environment, "$7"), newest_first)),
                Plan::Creator => page!(ids!(indexed!(Creator, "$8"), newest_first)),
                Plan::Active => page!(either!(
                    ids!($lasting, $lasting_order),
                    ids!("k.revoked_at IS NULL AND k.expires_at > $4", sorted)
                )),
                Plan::Expired => page!(either!(
                    ids!("k.revoked_at IS NULL AND k.expires_at <= $4", sorted),
                    ids!("k.revoked_at IS NULL", aged_newest_first)
                )),
                Plan::ExpiresBefore => page!(ids!("k.expires_at < $10", sorted)),
                Plan::Search => page!(concat!(
                    "SELECT k.id, k.created_at FROM ",
                    $matching,
                    " AND k.organization = $1 AND ",
                    filters!("k.created_at < $11", $name, $hint),
                    sorted!()
                )),
                Plan::All => of_all!("tower_api_key_keys", $name, $hint, newest_first),
                Plan::AllNewest => of_all!(
                    "(SELECT * FROM tower_api_key_keys k WHERE k.organization IS NOT NULL \
                     AND (k.created_at, k.id) < ($2, $3) ORDER BY k.created_at DESC, k.id DESC LIMIT 5000)",
                    $name,
                    $hint,
                    newest_first
                ),
                Plan::AllSearch => of_all!(concat!("(SELECT k.* FROM ", $matching, ")"), $name, $hint, sorted),
            }
        }
    };
}

/// The lasting keys in the order of their index in Postgres. No other index has this order: the planner cannot prefer one that
/// reads every key of the organization, as it would after a change of most keys, until the next `ANALYZE`.
#[cfg(feature = "postgres")]
macro_rules! lasting_first {
    () => {
        " AND (k.created_at + 0, k.id) < ($2, $3) ORDER BY k.created_at + 0 DESC, k.id DESC LIMIT $6"
    };
}

/// A page of those of these keys that have an organization. Every value must be used: `$1` is empty, and `$11` the earliest
/// time.
macro_rules! of_all {
    ($keys:expr, $name:literal, $hint:literal, $order:ident) => {
        concat!(
            columns!(),
            "FROM ",
            $keys,
            " k",
            joins!(),
            "WHERE $1 = '' AND $11 <= $4 AND k.organization IS NOT NULL AND ",
            filters!("k.created_at <= $4 - CASE WHEN o.max_key_age >= 0 THEN o.max_key_age END", $name, $hint),
            $order!()
        )
    };
}

// In the collation "C", only ASCII letters have a lower case, as in `ListKeys::matches`.
#[cfg(feature = "postgres")]
listing!(
    postgres,
    "lower(k.name COLLATE \"C\")",
    "lower(k.hint COLLATE \"C\")",
    "CASE WHEN k.suspended = 0 AND k.revoked_at IS NULL AND k.expires_at IS NULL THEN 1 ELSE 0 END = 1",
    lasting_first,
    "tower_api_key_keys k WHERE tower_api_key_words(k.organization, k.name, k.hint) @@ $12::text::tsquery"
);

// `CROSS` keeps the index of words in the outer loop.
#[cfg(feature = "sqlite")]
listing!(
    sqlite,
    "lower(k.name)",
    "lower(k.hint)",
    "k.suspended = 0 AND k.revoked_at IS NULL AND k.expires_at IS NULL",
    newest_first,
    "tower_api_key_search s CROSS JOIN tower_api_key_keys k ON k.number = s.rowid WHERE s.tower_api_key_search MATCH $12"
);

/// Returns the pattern for `LIKE` of texts that contain this one; empty for none.
pub(super) fn pattern(text: Option<&str>) -> String {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return String::new() };
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// How many characters a word has.
const WORD: usize = 3;

/// Returns the words of a text: each three characters that follow one another, or a shorter text as a whole. The first ones
/// of a long text are enough.
fn words(text: &str) -> impl Iterator<Item = &str> {
    const MOST: usize = 50;
    let starts = text.char_indices().map(|(start, _)| start);
    let ends = text.char_indices().map(|(end, _)| end).skip(WORD).chain([text.len()]);
    starts.zip(ends).map(|(start, end)| &text[start..end]).take(MOST)
}

/// Returns the sign of a database that makes a word match every word that begins with it, if it is short.
fn prefix<'a>(word: &str, sign: &'a str) -> &'a str {
    if word.chars().count() < WORD { sign } else { "" }
}

/// Returns the query for the words of the keys with this text, of one organization or all.
#[cfg(feature = "postgres")]
pub(super) fn words_postgres(organizations: Organizations<'_>, text: &str) -> String {
    let quoted = |word: &str| format!("'{}'", word.replace('\\', r"\\").replace('\'', "''"));
    let own = match organizations {
        Organizations::One(organization) => Some(quoted(&format!("\u{1f}{organization}"))),
        Organizations::All => None,
    };
    let words = words(text).map(|word| format!("{}{}", quoted(word), prefix(word, ":*")));
    own.into_iter().chain(words).collect::<Vec<_>>().join(" & ")
}

/// Returns the query for the words of the keys with this text, of one organization or all.
#[cfg(feature = "sqlite")]
pub(super) fn words_sqlite(organizations: Organizations<'_>, text: &str) -> String {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let own = match organizations {
        Organizations::One(organization) => Some(format!("x{}", hex(organization.as_str()))),
        Organizations::All => None,
    };
    let words = words(text).map(|word| format!("{}{}", hex(word), prefix(word, "*")));
    own.into_iter().chain(words).collect::<Vec<_>>().join(" AND ")
}

pub(super) use {columns, joins};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::OrganizationId;

    #[test]
    fn pattern_escapes_its_own_signs() {
        for (text, expected) in [(None, ""), (Some(""), ""), (Some("ci"), "%ci%"), (Some("50%_a!"), "%50!%!_a!!%")] {
            assert_eq!(pattern(text), expected);
        }
    }

    #[test]
    fn words_are_three_characters_or_a_short_text() {
        let of = |text| words(text).collect::<Vec<_>>();
        assert_eq!(of("nüdel"), ["nüd", "üde", "del"]);
        assert_eq!((of("abc"), of("äb"), of("c")), (vec!["abc"], vec!["äb"], vec!["c"]));
        assert_eq!(words(&"ab".repeat(1000)).count(), 50);
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn words_are_quoted_for_postgres() {
        let organization = OrganizationId::new("a'b").unwrap();
        let query = |text| words_postgres(Organizations::One(&organization), text);
        assert_eq!(query(r"\'|&"), "'\u{1f}a''b' & '\\\\''|' & '''|&'");
        assert_eq!(query("n!"), "'\u{1f}a''b' & 'n!':*");
        assert_eq!(words_postgres(Organizations::All, "abcd"), "'abc' & 'bcd'");
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn words_are_hexadecimal_for_sqlite() {
        let organization = OrganizationId::new("acme").unwrap();
        let query = |text| words_sqlite(Organizations::One(&organization), text);
        assert_eq!(query("abcd"), "x61636d65 AND 616263 AND 626364");
        assert_eq!(query("ü"), "x61636d65 AND c3bc*");
        assert_eq!(words_sqlite(Organizations::All, "abcd"), "616263 AND 626364");
    }
}
