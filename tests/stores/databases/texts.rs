//! A text in a name or hint, among so many keys that an index has to find it.

use std::sync::Arc;
use std::time::SystemTime;

use tower_api_key::key::{KeyId, KeyRecord, KeyStatus, Metadata};
use tower_api_key::store::{KeyBackend, KeyUpdate, ListKeys, Organizations};

use super::database::Database;
use crate::support::calls::acme;

on_each_database! {
    text_among_many_keys_is_found_wherever_it_is
    text_is_found_after_each_change_of_its_key
}

/// More keys than are read to look for a text in them. The names of the oldest are these.
const KEYS: i64 = 5_300;
const NAMES: [&str; 24] = [
    "Nightly Export",
    "NÜDEL nüdel",
    "100% of_it",
    "o'clock \\ back",
    "a & b | !c:*",
    "\"quoted\" * AND NOT x",
    "漢字の鍵",
    "👩‍👩‍👧‍👦 family",
    "  two  spaces  ",
    "x",
    "xy",
    "tail-xy",
    "ß sharp",
    "İstanbul",
    "(group) {set} ^caret",
    "NEAR(a b)",
    "same",
    "same",
    "avk",
    "k_...",
    "-",
    "--",
    "/*",
    "e\u{301}",
];

/// Of another organization too.
async fn fill<D: Database>(database: &D) {
    let names: Vec<_> =
        NAMES.iter().enumerate().map(|(i, name)| format!("WHEN {i} THEN '{}'", name.replace('\'', "''"))).collect();
    let insert = format!(
        "INSERT INTO tower_api_key_keys (id, digest, organization, name, hint, access, scopes, created_at, revoked_at) \
         SELECT {id}, {digest}, CASE WHEN i % 100 = 99 THEN 'acm' ELSE 'acme' END, \
         CASE i {names} ELSE 'other ' || i END, 'avk_...' || (1000 + i % 9000), 'scoped', 'datasets.read', \
         i / 3, CASE WHEN i % 5 = 0 THEN {now} END FROM ({series}) n",
        id = D::ID_OF_I,
        digest = D::DIGEST_OF_I,
        names = names.join(" "),
        now = D::NOW,
        series = D::series(KEYS),
    );
    database.run(insert).await.unwrap();
}

/// Returns the keys on all pages of the list, each with this many keys.
async fn listed(
    store: &impl KeyBackend,
    organizations: Organizations<'_>,
    query: &ListKeys,
    limit: usize,
) -> Vec<Arc<KeyRecord>> {
    let (mut query, mut keys) = (query.clone().with_limit(limit), Vec::new());
    loop {
        let page = store.list(organizations, &query).await.unwrap();
        keys.extend(page.keys);
        let Some(next) = page.next else { return keys };
        query = query.with_after(next);
    }
}

fn ids<'a>(keys: impl IntoIterator<Item = &'a Arc<KeyRecord>>) -> Vec<KeyId> {
    keys.into_iter().map(|key| key.id()).collect()
}

/// Cases: 188.
async fn text_among_many_keys_is_found_wherever_it_is<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    fill(&database).await;
    let everything = ListKeys::new();
    let own = listed(&store, acme().into(), &everything, ListKeys::MAX_LIMIT).await;
    let all = listed(&store, Organizations::All, &everything, ListKeys::MAX_LIMIT).await;
    assert_eq!((own.len() as i64, all.len() as i64), (KEYS - KEYS / 100, KEYS));

    // Every beginning, end and middle of the names, the ends of one hint, and texts that no key has.
    let mut texts: Vec<String> = ["avk_...10", "...1005", "1005", "other 5", "th", "9 ", "haystack", "\u{1f}", "zz"]
        .map(ToOwned::to_owned)
        .to_vec();
    for name in NAMES {
        let characters: Vec<_> = name.chars().collect();
        for len in [1, 2, 3, 4, characters.len()] {
            texts.extend(characters.windows(len).step_by(3).map(|window| window.iter().collect::<String>()));
        }
        texts.push(format!("{name}avk"));
    }
    texts.sort_unstable();
    texts.dedup();
    let mut found = 0;
    for text in texts {
        for query in [ListKeys::new(), ListKeys::new().with_status(KeyStatus::Revoked)] {
            let query = query.with_search(&text);
            for (organizations, keys) in [(acme().into(), &own), (Organizations::All, &all)] {
                let expected = ids(keys.iter().filter(|key| query.matches(key, SystemTime::now())));
                let listed = listed(&store, organizations, &query, 1000).await;
                assert_eq!(ids(&listed), expected, "{text:?} of {organizations:?}");
                found += expected.len();
            }
        }
    }
    assert!(found > NAMES.len());
    for organizations in [acme().into(), Organizations::All] {
        let same = ListKeys::new().with_search("SAME");
        assert_eq!(listed(&store, organizations, &same, 1).await.len(), 2, "in pages of one key");
        let long = ListKeys::new().with_search("same".repeat(10_000));
        assert_eq!(listed(&store, organizations, &long, 1000).await, []);
    }
}

/// Cases: 188.
async fn text_is_found_after_each_change_of_its_key<D: Database>() {
    let database = D::new().await;
    let store = database.store().await;
    fill(&database).await;
    let id = "00000000-0000-4000-8000-000000000001".parse().unwrap();
    let found = async |text: &str| {
        let query = ListKeys::new().with_search(text);
        let own = ids(&listed(&store, acme().into(), &query, 100).await);
        assert_eq!(ids(&listed(&store, Organizations::All, &query, 100).await), own, "of all organizations");
        own
    };
    assert_eq!(found("NÜDEL").await, [id]);
    store.update(acme(), id, KeyUpdate::new().with_name("renamed")).await.unwrap();
    assert_eq!((found("NÜDEL").await, found("renamed").await), (vec![], vec![id]));
    let metadata = Metadata::new([("a", "b")]).unwrap();
    store.update(acme(), id, KeyUpdate::new().with_metadata(metadata).with_suspended(true)).await.unwrap();
    assert_eq!(found("renamed").await, [id]);
    database.run(format!("UPDATE tower_api_key_keys SET name = 'By Hand' WHERE id = '{id}'")).await.unwrap();
    assert_eq!((found("renamed").await, found("by hand").await), (vec![], vec![id]));
    store.revoke(acme(), id).await.unwrap();
    assert_eq!(found("by hand").await, [id]);
    database.run(format!("DELETE FROM tower_api_key_keys WHERE id = '{id}'")).await.unwrap();
    assert_eq!(found("by hand").await, []);
    // The next one takes the place of the last one, on SQLite also its number.
    let last = "SELECT id FROM tower_api_key_keys ORDER BY created_at DESC, id DESC LIMIT 1";
    let last = database.texts(last).await.remove(0);
    database.run(format!("DELETE FROM tower_api_key_keys WHERE id = '{last}'")).await.unwrap();
    let insert = format!(
        "INSERT INTO tower_api_key_keys (id, digest, organization, name, hint, access, scopes, created_at) \
         VALUES ('{last}', {}, 'acme', 'newcomer', 'avk_...', 'full', '', 0)",
        D::OTHER_DIGEST
    );
    database.run(insert).await.unwrap();
    assert_eq!(found("newcomer").await, [last.parse().unwrap()]);
}
