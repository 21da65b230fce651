//! What is in the tables afterwards.

use tower_api_key::{Access, Expiry, KeyManager, ListKeys, NewKey};

use super::calls::{Reply, acme, any, full, issue};
use super::schema::Schema;

#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_068_no_table_holds_a_key() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let mut secrets = Vec::new();
    for n in 0..50 {
        let key = issue(&store, full()).await;
        let new = if n % 2 == 0 { store.regenerate(&acme(), key.record.id(), Expiry::Never).await.ok() } else { None };
        secrets.extend([Some(key), new].into_iter().flatten().map(|key| key.secret.expose_secret().to_owned()));
    }
    let mut sql = schema.sql().await;
    let dump = "SELECT query_to_xml('SELECT * FROM ' || c.oid::regclass, true, false, '')::text FROM pg_class c \
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
    let dump = sql.texts(dump).await.concat();
    assert!(dump.matches("<digest>").count() == 75 && dump.contains("avk_..."), "the dump shows every row");
    for secret in secrets {
        let body = &secret["avk_".len()..];
        // The last four characters are shown on purpose; eight in a row are not.
        for part in (0..=body.len() - 8).map(|at| &body[at..at + 8]) {
            assert!(!dump.contains(part), "{part} of a key");
        }
    }
}

#[tokio::test]
#[ignore = "needs Postgres"]
async fn case_069_names_are_data() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    let names = [
        "'; DROP TABLE tower_api_key_keys; --".to_owned(),
        "$1 $2 $$ %s {} \\".into(),
        "\u{202e}gnp.exe".into(),
        "<script>alert(1)</script>".into(),
        "é".repeat(100),
        "🔑".repeat(100),
    ];
    for name in &names {
        let key = issue(&store, NewKey::new(name.as_str(), Access::Full).unwrap()).await;
        assert_eq!(store.get(&acme(), key.record.id()).await.unwrap().name(), name);
        assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
    }
    let other = "o'); DELETE FROM tower_api_key_keys; --".parse().unwrap();
    let key = store.issue(&other, full()).await.unwrap();
    assert_eq!(any(&store, &key).await, Reply::accepted(&Access::Full));
    assert_eq!(store.list(&other, &ListKeys::new()).await.unwrap().keys.len(), 1);
    let mut listed: Vec<_> =
        store.list(&acme(), &ListKeys::new()).await.unwrap().keys.iter().map(|key| key.name().to_owned()).collect();
    let mut names = names.to_vec();
    listed.sort();
    names.sort();
    assert_eq!(listed, names);
}

/// Many keys of one second, in pages: each once, in one order.
#[tokio::test]
#[ignore = "needs Postgres"]
async fn pages_hold_every_key_once() {
    let schema = Schema::new().await;
    let store = schema.store().await;
    for _ in 0..137 {
        issue(&store, full()).await;
    }
    let spread = "UPDATE tower_api_key_keys SET created_at = created_at - (ascii(id) % 3)";
    schema.sql().await.run(spread).await.unwrap();
    let whole = store.list(&acme(), &ListKeys::new().with_limit(1000)).await.unwrap();
    assert!(whole.keys.len() == 137 && whole.next.is_none());
    assert!(whole.keys.windows(2).all(|pair| {
        (pair[1].created_at(), pair[1].id().to_string()) < (pair[0].created_at(), pair[0].id().to_string())
    }));
    for limit in [1, 2, 50, 136, 137, 138] {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(&acme(), &ListKeys::new().with_limit(limit).with_after(after)).await.unwrap();
            assert!(page.keys.len() <= limit);
            pages.extend(page.keys.iter().map(|key| key.id()));
            after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, whole.keys.iter().map(|key| key.id()).collect::<Vec<_>>(), "in pages of {limit}");
    }
}
