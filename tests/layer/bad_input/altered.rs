//! There is one key, and it is not quite right.
//!
//! By default a key is opaque, so that keys issued elsewhere keep working: then a wrong one costs a lookup. A layer
//! that knows the one format of its keys refuses without a lookup what has another (`only_format`).

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use tokio::runtime::Builder;

use super::keys::{KEY, UNKNOWN};
use super::world::Verdict::{Accepted, Invalid, Missing};
use super::world::{Verdict, World, opaque_and_formatted};

const NAME: &str = "x-avala-api-key";

/// Cases: 12.
#[tokio::test]
async fn key_with_other_prefix_is_rejected() {
    let body = &KEY[4..];
    let wrong =
        ["avk_", "avk", "avk_avk_", &format!("AVK_{body}"), &format!("Avk_{body}"), &format!("avk_{KEY}"), body];
    refused(wrong).await;
}

/// Cases: 13.
#[tokio::test]
async fn shortened_or_extended_key_is_rejected() {
    let parts = (1..KEY.len()).flat_map(|at| [KEY[..at].to_owned(), KEY[at..].to_owned()]);
    let longer = ["0", "f", ".", "="].into_iter().flat_map(|more| [format!("{KEY}{more}"), format!("{more}{KEY}")]);
    refused(parts.chain(longer)).await;
}

/// Cases: 14.
#[tokio::test]
async fn upper_case_key_is_rejected() {
    let body = &KEY[4..];
    let upper = body.to_uppercase();
    assert_ne!(upper, body);
    refused([KEY.to_uppercase(), format!("avk_{upper}")]).await;
    let letters = body.char_indices().filter(|(_, letter)| letter.is_ascii_lowercase());
    refused(letters.map(|(at, letter)| {
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
    refused(look_alikes).await;
    refused_bytes([[KEY.as_bytes(), b"\xa0"].concat(), [b"\xa0", KEY.as_bytes()].concat()]).await;

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
    refused_bytes(bytes).await;
    refused_bytes([vec![0xff; 512], b"\xc3\x28".to_vec(), b"\xed\xa0\x80".to_vec(), b"\xf0\x9f\x94".to_vec()]).await;
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
            // Two neighbours that changed places.
            for at in 0..KEY.len() - 1 {
                let mut typo = KEY.as_bytes().to_vec();
                typo.swap(at, at + 1);
                let verdict = if typo == KEY.as_bytes() { Accepted } else { Invalid(lookups) };
                world.direct(&[(NAME, &typo)], verdict).await;
            }
            // The checksum is right, and still nobody issued it.
            world.value(UNKNOWN.as_bytes(), Invalid(1)).await;
            world.value(KEY.as_bytes(), Accepted).await;
        }
    }
}

async fn refused(values: impl IntoIterator<Item: AsRef<str>>) {
    refused_bytes(values.into_iter().map(|value| value.as_ref().as_bytes().to_vec())).await;
}

/// Over both versions of HTTP, and without a server.
async fn refused_bytes(values: impl IntoIterator<Item = Vec<u8>>) {
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
/// Any values, most of them near the good one: only the one that is exactly it is let in.
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

/// What can stand in a header.
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
