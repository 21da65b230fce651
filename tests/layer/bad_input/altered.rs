//! There is one key, and it is not quite right.
//!
//! By default a key is opaque, so that keys issued elsewhere keep working: then a wrong one costs a lookup. A layer
//! that requires the one format of its keys rejects other formats without a lookup (`require_formats`).

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use tokio::runtime::Builder;
use tower::{Layer, ServiceExt};
use tower_api_key::key::KeyFormat;
use tower_api_key::manage::IssueRules;
use tower_api_key::{Access, ApiKeyLayer, KeyManager, MemoryStore, NewKey};

use super::counting::Counting;
use super::keys::{KEY, UNKNOWN};
use super::world::Verdict::{Accepted, Invalid, Missing};
use super::world::{Verdict, World, opaque_and_formatted};
use crate::support::handler::Handler;
use crate::support::request::request;

const NAME: &str = "x-avala-api-key";

/// Cases: 12.
#[tokio::test]
async fn key_with_other_prefix_is_rejected() {
    let body = &KEY[4..];
    let wrong =
        ["avk_", "avk", "avk_avk_", &format!("AVK_{body}"), &format!("Avk_{body}"), &format!("avk_{KEY}"), body];
    assert_rejected(wrong).await;
}

/// Cases: 13.
#[tokio::test]
async fn shortened_or_extended_key_is_rejected() {
    let parts = (1..KEY.len()).flat_map(|at| [KEY[..at].to_owned(), KEY[at..].to_owned()]);
    let longer = ["0", "f", ".", "="].into_iter().flat_map(|more| [format!("{KEY}{more}"), format!("{more}{KEY}")]);
    assert_rejected(parts.chain(longer)).await;
}

/// Cases: 14.
#[tokio::test]
async fn upper_case_key_is_rejected() {
    let body = &KEY[4..];
    let upper = body.to_uppercase();
    assert_ne!(upper, body);
    assert_rejected([KEY.to_uppercase(), format!("avk_{upper}")]).await;
    let letters = body.char_indices().filter(|(_, letter)| letter.is_ascii_lowercase());
    assert_rejected(letters.map(|(at, letter)| {
        let mut one = body.to_owned();
        one.replace_range(at..=at, &letter.to_ascii_uppercase().to_string());
        format!("avk_{one}")
    }))
    .await;
}

/// Cases: 15.
#[tokio::test]
async fn lookalike_key_is_rejected() {
    let look_alikes = [
        format!("{}\t{}", &KEY[..20], &KEY[20..]),
        format!("{} {}", &KEY[..20], &KEY[20..]),
        // A no-break space, blanks of no width, a byte order mark, a soft hyphen, at either end and within.
        format!("{KEY}\u{a0}"),
        format!("\u{a0}{KEY}"),
        format!("{KEY}\u{200b}"),
        format!("\u{feff}{KEY}"),
        format!("{}\u{200d}{}", &KEY[..4], &KEY[4..]),
        format!("{}\u{ad}{}", &KEY[..4], &KEY[4..]),
        // Cyrillic and full-width letters and digits, and a ligature.
        KEY.replace('a', "\u{430}"),
        KEY.replace('v', "\u{ff56}"),
        KEY.replace('0', "\u{ff10}"),
        KEY.replace("ff", "\u{fb00}"),
        KEY.replace('_', "\u{ff3f}"),
        // A trailing blank that no server trims.
        format!("{KEY}\u{85}"),
        format!("\"{KEY}\""),
        KEY.replace('_', "%5f"),
    ];
    assert_rejected(look_alikes).await;
    assert_bytes_rejected([[KEY.as_bytes(), b"\xa0"].concat(), [b"\xa0", KEY.as_bytes()].concat()]).await;

    for (worlds, lookups) in opaque_and_formatted().await {
        for world in &worlds {
            for padded in [format!("  {KEY}"), format!("{KEY} "), format!("\t{KEY} \t")] {
                // Blanks around a value are no part of it in HTTP/1.1, and the server takes them away. Where none
                // does, they are part of the key.
                world.value(padded.as_bytes(), Accepted).await;
                world.direct(&[(NAME, padded.as_bytes())], Invalid(lookups)).await;
            }
        }
    }
}

/// Cases: 16.
#[tokio::test]
async fn key_of_non_text_bytes_is_rejected() {
    let (first, last) = KEY.as_bytes().split_at(KEY.len() - 1);
    let bytes = (0x80..=0xff).flat_map(|byte| {
        [vec![byte], [first, &[byte]].concat(), [KEY.as_bytes(), &[byte]].concat(), [&[byte], last].concat()]
    });
    assert_bytes_rejected(bytes).await;
    assert_bytes_rejected([vec![0xff; 512], b"\xc3\x28".to_vec(), b"\xed\xa0\x80".to_vec(), b"\xf0\x9f\x94".to_vec()])
        .await;
}

/// Cases: 20.
#[tokio::test]
async fn checksum_only_rejects() {
    for (worlds, lookups) in opaque_and_formatted().await {
        for world in &worlds {
            for at in 0..KEY.len() {
                for replacement in b"0f_Z ~" {
                    let mut typo = KEY.as_bytes().to_vec();
                    typo[at] = *replacement;
                    if typo != KEY.as_bytes() {
                        world.direct(&[(NAME, &typo)], Invalid(lookups)).await;
                    }
                }
            }
            // Two neighbors that changed places.
            for at in 0..KEY.len() - 1 {
                let mut typo = KEY.as_bytes().to_vec();
                typo.swap(at, at + 1);
                let verdict = if typo == KEY.as_bytes() { Accepted } else { Invalid(lookups) };
                world.direct(&[(NAME, &typo)], verdict).await;
            }
            // The checksum is correct, but the key was never issued.
            world.value(UNKNOWN.as_bytes(), Invalid(1)).await;
            world.value(KEY.as_bytes(), Accepted).await;
        }
    }
}

/// Cases: 12.
/// Two calls in either order, and one call with both formats.
#[tokio::test]
async fn require_formats_twice_accepts_both_formats() {
    let [avala, acme, other] = ["avk_", "acme_", "other_"].map(|prefix| KeyFormat::new(prefix).unwrap());
    let store = MemoryStore::new();
    let key = async |format: &KeyFormat| {
        let keys = KeyManager::new(store.clone()).with_rules(IssueRules::new().with_format(format.clone()));
        let issued = keys.issue(&"acme".parse().unwrap(), NewKey::new("key", Access::Full).unwrap()).await.unwrap();
        issued.secret.expose_secret().to_owned()
    };
    let (avala_key, acme_key, other_key) = (key(&avala).await, key(&acme).await, key(&other).await);
    let twice = |first: &KeyFormat, second: &KeyFormat| {
        let (first, second) = (first.clone(), second.clone());
        move |layer: ApiKeyLayer| layer.require_formats([first.clone()]).require_formats([second.clone()])
    };
    let both = [avala.clone(), acme.clone()];
    let configured: [Box<dyn Fn(ApiKeyLayer) -> ApiKeyLayer>; 4] = [
        Box::new(twice(&avala, &acme)),
        Box::new(twice(&acme, &avala)),
        Box::new(move |layer| layer.require_formats(both.clone())),
        Box::new(move |layer| twice(&avala, &acme)(layer).require_formats([])),
    ];
    for (at, configure) in configured.iter().enumerate() {
        for awaited in [false, true] {
            let counting = Counting::new(store.clone(), awaited);
            let handler = Handler::default();
            let service = configure(ApiKeyLayer::new(Arc::clone(&counting))).layer(handler.service());
            let swapped = avala_key.replace("avk_", "acme_");
            for (key, status, lookups) in [
                (&avala_key, 200, 1),
                (&acme_key, 200, 1),
                // Valid, and in neither format.
                (&other_key, 401, 0),
                // Its checksum covers the other prefix.
                (&swapped, 401, 0),
            ] {
                let response = service.clone().oneshot(request(key)).await.unwrap();
                assert_eq!((response.status().as_u16(), counting.take_lookups()), (status, lookups), "{at}, {key}");
            }
            assert_eq!(handler.calls(), 2, "{at}");
        }
    }
    let service = ApiKeyLayer::new(store).layer(Handler::default().service());
    assert_eq!(service.oneshot(request(&other_key)).await.unwrap().status(), 200, "it is valid");
}

async fn assert_rejected(values: impl IntoIterator<Item: AsRef<str>>) {
    assert_bytes_rejected(values.into_iter().map(|value| value.as_ref().as_bytes().to_vec())).await;
}

/// Over both versions of HTTP, and without a server.
async fn assert_bytes_rejected(values: impl IntoIterator<Item = Vec<u8>>) {
    let worlds = opaque_and_formatted().await;
    for value in values {
        for (worlds, lookups) in &worlds {
            for world in worlds {
                world.value(&value, Invalid(*lookups)).await;
                world.http2(&[(NAME, &value)], Invalid(*lookups)).await;
                world.direct(&[(NAME, &value)], Invalid(*lookups)).await;
            }
        }
    }
}

/// Cases: 1, 2, 3, 16, 18.
/// Any values, most of them close to the valid key: only the exact key is accepted.
#[test]
fn arbitrary_header_values_are_rejected() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let worlds = runtime.block_on(World::each(|layer| layer));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2000));
    let compared = runner.run(&vec(value(), 0..3), |values| {
        let headers: Vec<_> = values.iter().map(|value| (NAME, &value[..])).collect();
        for world in &worlds {
            runtime.block_on(world.direct(&headers, oracle(&values)));
        }
        Ok(())
    });
    compared.unwrap();
}

fn oracle(values: &[Vec<u8>]) -> Verdict {
    match values {
        [] => Missing,
        [value] if value.len() > 512 => Invalid(0),
        [value] if value.iter().all(|byte| b" \t".contains(byte)) => Missing,
        [value] if value == KEY.as_bytes() => Accepted,
        [_] => Invalid(1),
        _ => Invalid(0),
    }
}

/// A header value.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte =
        || any::<u8>().prop_filter("no control character", |byte| *byte == b'\t' || (*byte >= 32 && *byte != 127));
    let near = (0..KEY.len(), 0..3_usize, vec(byte(), 0..3)).prop_map(|(at, removed, added)| {
        let mut key = KEY.as_bytes().to_vec();
        key.splice(at..(at + removed).min(key.len()), added);
        key
    });
    let blank = || vec(select(&b" \t"[..]), 0..5);
    let padded = (blank(), blank()).prop_map(|(before, after)| [&before, KEY.as_bytes(), &after].concat());
    prop_oneof![
        4 => near,
        2 => Just(KEY.as_bytes().to_vec()),
        2 => vec(byte(), 0..60),
        1 => vec(byte(), 500..530),
        1 => blank(),
        1 => padded,
    ]
}
