use std::time::{Duration, UNIX_EPOCH};

use super::super::bench::{Bench, HOUR, new_credential, new_key, new_record};
use super::super::verdict::{Expecting, Verdict, expect, expect_error, expect_same};
use super::{expect_same_record, ids};
use crate::key::{KeyHint, KeyStatus};
use crate::manage::{ManageError, StoredCredential};
use crate::scope::{Access, Scope, ScopeSet, avala};
use crate::store::{BackendError, Expiry, InsertRules, KeyBackend, KeyStore, NewRecord};

pub(super) async fn issues_a_key_that_is_found<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let issued = bench.manager.issue(&bench.own, new_key(Access::Full)?).await.expecting("`issue` to issue a key")?;
    let digest = issued.secret.digest();
    expect_same("`issue` to return a record with the digest of the secret", &digest, issued.record.digest())?;
    for (call, found) in bench.answers(&digest).await? {
        expect_same_record(&format!("{call} to return what `issue` returned"), &issued.record, &found)?;
    }
    Ok(())
}

pub(super) async fn imports_a_key_that_is_found<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let credential = new_credential()?;
    let key = new_key(Access::Full)?.with_expires_at(bench.now() + HOUR);
    let imported = bench.manager.import(&bench.own, (key, credential.clone())).await;
    let imported = imported.expecting("`import` to return a record")?;
    for (call, found) in bench.answers(&credential.digest).await? {
        expect_same_record(&format!("{call} to return what `import` returned"), &imported, &found)?;
    }
    Ok(())
}

/// A store that remembers what was not found must forget it.
pub(super) async fn finds_a_key_that_was_unknown_before<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let record = new_record(&bench.own, Access::Full)?;
    let digest = record.digest;
    bench.find(&digest).await?;
    bench.store.try_find(&digest);
    bench.insert(record).await?;
    bench.answers(&digest).await?;
    Ok(())
}

/// A key without a date is as old as the epoch, and expires by the first maximum age.
pub(super) async fn dates_new_keys<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    const SKEW: Duration = Duration::from_secs(300);
    let earliest = bench.now() - SKEW;
    let key = bench.add(Access::Full).await?;
    let created = bench.found(key.digest()).await?.created_at();
    let holds = (earliest..=bench.now() + SKEW).contains(&created);
    expect(holds, format!("a creation time within {SKEW:?} of {:?}", bench.now()), &created)
}

pub(super) async fn keeps_names_byte_for_byte<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let longest = ["x".repeat(100), "é".repeat(100), "🔑".repeat(100)];
    let names = [
        "'; DROP TABLE keys; --",
        "\"double\" 'single' `back` \\ % _ $1 ? :name {}",
        "<script>alert(1)</script>&amp;",
        " leading and trailing ",
        "Ünïcödé ñ 密钥 🔑 \u{202e}rtl",
        // The same letter composed and decomposed.
        "\u{e9} e\u{301}",
        "null",
    ];
    for name in names.into_iter().chain(longest.iter().map(String::as_str)) {
        let record = NewRecord { name: name.into(), ..new_record(&bench.own, Access::Full)? };
        let key =
            bench.store.insert(record, InsertRules::new()).await.expecting(&format!("to keep the name {name:?}"))?;
        expect_same("the name", name, bench.found(key.digest()).await?.name())?;
    }
    Ok(())
}

pub(super) async fn keeps_the_hint<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let imported = StoredCredential::from_plaintext(b"abcdefghijklmno_qrstuvwx").hint;
    let longest = KeyHint::from_stored("sixteen_letters_...1234");
    for hint in [KeyHint::from_stored("old_...1234"), KeyHint::default(), imported, longest] {
        let record = NewRecord { hint: hint.clone(), ..new_record(&bench.own, Access::Full)? };
        let key = bench.insert(record).await?;
        expect_same("the hint", &hint, bench.found(key.digest()).await?.hint())?;

        let new = bench.regenerate(key.id(), Expiry::Never).await?;
        let hint = StoredCredential::from_secret(&new.secret).hint;
        let found = bench.found(&new.secret.digest()).await?;
        expect_same("the hint of a new key after `regenerate`", &hint, found.hint())?;
    }
    Ok(())
}

/// A key that was never valid is a mistake of the caller. Nothing may be written.
pub(super) async fn never_stores_an_expired_key<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let live = [bench.add(Access::Full).await?];
    for time in [bench.now() - HOUR, bench.now(), UNIX_EPOCH] {
        let what = |call| format!("`{call}` with an expiry in the past, {time:?},");
        let issued = bench.manager.issue(&bench.own, new_key(Access::Full)?.with_expires_at(time)).await;
        expect_error(&what("issue"), &ManageError::ExpiryInPast, &issued)?;
        expect_same("the keys after `issue` was rejected", &ids(&live), &ids(&bench.all().await?))?;
    }
    Ok(())
}

pub(super) async fn rounds_the_expiry_down<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let whole = bench.key(Access::Full)?.with_expires_at(bench.now() + HOUR).expires_at();
    for fraction in [0, 1, 500_000_000, 999_999_999].map(Duration::from_nanos) {
        let key = bench.add_until(whole.map(|whole| whole + fraction), Access::Full).await?;
        let found = bench.found(key.digest()).await?.expires_at();
        expect_same(&format!("the expiry, cut to the second from {fraction:?} after it"), &whole, &found)?;
    }
    Ok(())
}

/// The longest list that may be issued. A list that was cut grants something else.
pub(super) async fn keeps_or_rejects_many_scopes<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let names = (0..ScopeSet::MAX_LEN).map(|number| Scope::new(format!("{number:0>128}")));
    let access = Access::scoped(names.collect::<Result<Vec<_>, _>>().expecting("scopes")?);
    let record = new_record(&bench.own, access.clone())?;
    let digest = record.digest;
    if bench.store.insert(record, InsertRules::new()).await.is_ok() {
        let found = bench.found(&digest).await?;
        expect(*found.access() == access, "an error, or 256 scopes of 128 characters as they were", &found.access())?;
    }
    Ok(())
}

pub(super) async fn stores_a_digest_once<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::scoped([avala::TASKS_READ])).await?;
    let before = bench.found(key.digest()).await?;
    let again = NewRecord { digest: *key.digest(), ..new_record(&bench.own, Access::Full)? };
    let stored = bench.store.insert(again, InsertRules::new()).await;
    expect_error("`insert` of a digest that is stored", &BackendError::AlreadyExists, &stored)?;
    bench.expect_as_before(key.digest(), &before).await
}

/// The organization of a key must not depend on the row that is found first.
pub(super) async fn stores_a_digest_once_across_organizations<S: KeyBackend>(bench: &Bench<'_, S>) -> Verdict {
    let key = bench.add(Access::Full).await?;
    let again = NewRecord { digest: *key.digest(), ..new_record(&bench.other, Access::Full)? };
    let stored = bench.store.insert(again, InsertRules::new()).await;
    expect_error("`insert` of another organization's digest", &BackendError::AlreadyExists, &stored)?;
    let found = bench.found(key.digest()).await?;
    expect_same("the organization", &bench.own, found.organization())?;
    expect_same("the status", &KeyStatus::Active, &found.status(bench.now()))
}
