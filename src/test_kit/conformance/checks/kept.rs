//! What a store keeps of a new key besides what it may do.

use std::sync::Arc;
use std::time::Duration;

use super::super::bench::{Bench, HOUR, new_credential, new_key, new_record, new_replacement};
use super::super::verdict::{Expecting, Verdict, expect, expect_error, expect_same};
use crate::client::AllowedNetworks;
use crate::key::{Environment, Metadata};
use crate::manage::{ImportedKey, StoredCredential};
use crate::scope::Access;
use crate::store::{BackendError, ImportedFacts, InsertRules, KeyBackend, NewRecord, Replacement};

/// A key whose networks are lost could be used from anywhere.
pub(super) async fn keeps_networks<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    for text in ["*", "192.0.2.7/32", "192.0.2.0/24 198.51.100.0/25", "2001:db8::/32", "0.0.0.0/0 ::/0"] {
        let networks: AllowedNetworks = text.parse().expecting("networks")?;
        let record = NewRecord { networks: networks.clone(), ..new_record(&bench.own, Access::Full)? };
        let key = bench.insert(record).await?;
        expect_same("the networks", &networks, bench.found(key.digest()).await?.networks())?;
    }
    Ok(())
}

pub(super) async fn keeps_metadata<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let longest = ("é".repeat(Metadata::MAX_NAME_LEN), "🔑".repeat(Metadata::MAX_VALUE_LEN));
    let many = (0..Metadata::MAX_LEN).map(|n| (format!("name {n}"), format!("\"{n}\" \\ \n \u{7}")));
    for entries in [vec![], vec![longest], many.collect()] {
        let metadata = Metadata::new(entries).expecting("metadata")?;
        let record = NewRecord { metadata: metadata.clone(), ..new_record(&bench.own, Access::Full)? };
        let key = bench.insert(record).await?;
        expect_same("the metadata", &metadata, bench.found(key.digest()).await?.metadata())?;
    }
    Ok(())
}

pub(super) async fn keeps_environment_and_creator<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let (test, ada) = (Some(Environment::from_static("test")), Some(Arc::from("ada <ada@example.com>")));
    for (environment, created_by) in [(None, None), (test, ada)] {
        let (environment, created_by): (Option<Environment>, Option<Arc<str>>) = (environment, created_by);
        let record = NewRecord {
            environment: environment.clone(),
            created_by: created_by.clone(),
            ..new_record(&bench.own, Access::Full)?
        };
        let key = bench.insert(record).await?;
        let found = bench.found(key.digest()).await?;
        expect_same("the environment", &environment.as_ref(), &found.environment())?;
        expect_same("the creator", &created_by.as_deref(), &found.created_by())?;
    }
    Ok(())
}

/// A maximum age counts from the real creation, and a key that was revoked elsewhere stays revoked.
pub(super) async fn an_import_keeps_what_happened<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let whole = bench.key(Access::Full)?.with_created_at(bench.now() - 100 * HOUR).created_at();
    for (suspended, revoked_at, expires_at) in [
        (false, None, None),
        (true, None, Some(bench.now() + HOUR)),
        (false, Some(whole + HOUR), None),
        (false, None, Some(whole + HOUR)),
    ] {
        let facts = ImportedFacts {
            created_at: Some(whole),
            suspended,
            revoked_at,
            last_used_at: Some(whole + HOUR),
            request_count: 42,
        };
        let record = NewRecord { expires_at, imported: Some(facts), ..new_record(&bench.own, Access::Full)? };
        let expected = record.clone().into_record(bench.now(), InsertRules::new()).expecting("a record")?;
        let key = bench.insert(record).await?;
        let found = bench.found(key.digest()).await?;
        expect_same("the creation of an imported key", &expected.created_at(), &found.created_at())?;
        expect_same("the expiry of an imported key", &expected.expires_at(), &found.expires_at())?;
        expect_same("the revocation of an imported key", &expected.revoked_at(), &found.revoked_at())?;
        expect_same("whether an imported key is suspended", &suspended, &found.is_suspended())?;
        expect_same("whether an imported key is one", &true, &found.is_imported())?;
        let usage = (found.last_used_at(), found.request_count());
        let holds = usage == (expected.last_used_at(), 42) || usage == (None, 0);
        expect(holds, "the usage of an imported key, or none at all", &usage)?;
    }
    Ok(())
}

pub(super) async fn imports_many_in_one_step<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let taken = bench.add(Access::Full).await?;
    let credentials = [new_credential()?, StoredCredential::from_digest(*taken.digest()), new_credential()?];
    let imported = |credential: &StoredCredential| Ok(ImportedKey::new(new_key(Access::Full)?, credential.clone()));
    let keys = credentials.iter().chain([&credentials[0]]).map(imported).collect::<Verdict<Vec<_>>>()?;
    let report = bench.manager.import_many(&bench.own, keys).await.expecting("`import_many` to report")?;
    let rejected: Vec<_> = report.rejected().map(|(place, _)| place).collect();
    expect_same("the places of the keys that are rejected", &vec![1, 3], &rejected)?;
    for (credential, key) in credentials.iter().zip(&report.keys).filter(|(_, key)| key.is_ok()) {
        let found = bench.found(&credential.digest).await?;
        expect_same("the id of an imported key", &key.as_ref().ok().map(|key| key.id()), &Some(found.id()))?;
    }
    expect_same("the number of keys", &3, &bench.all().await?.len())
}

/// A suspended key counts, as does the old key of an overlap. A key that replaces another one adds none.
pub(super) async fn keeps_to_the_most_active_keys<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let rules = InsertRules::new().with_max_active(2);
    let insert = async || Ok(bench.store.insert(new_record(&bench.own, Access::Full)?, rules).await);
    let first = insert().await?.expecting("the first of two keys")?;
    let second = insert().await?.expecting("the second of two keys")?;
    bench.suspend(first.id(), true).await?;
    expect_error("`insert` of a third key", &BackendError::TooManyKeys, &insert().await?)?;
    let many = bench.store.insert_many(vec![new_record(&bench.own, Access::Full)?], rules).await;
    let many = many.expecting("`insert_many` to answer")?;
    expect(many.iter().all(|key| matches!(key, Err(BackendError::TooManyKeys))), "TooManyKeys", &many)?;

    let overlap = Duration::from_secs(60);
    let replace = async |overlap| {
        let replacement = Replacement { overlap, ..new_replacement()? };
        Ok(bench.store.replace(&bench.own, second.id(), replacement, rules).await)
    };
    expect_error("`replace` with an overlap", &BackendError::TooManyKeys, &replace(overlap).await?)?;
    replace(Duration::ZERO).await?.expecting("`replace` without an overlap")?;
    bench.revoke(first.id()).await?;
    insert().await?.expecting("a key after one was revoked")?;
    bench.store.insert(new_record(&bench.other, Access::Full)?, rules).await.expecting("a key elsewhere")?;
    Ok(())
}
