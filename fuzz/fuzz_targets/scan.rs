//! Keys between any bytes: a scan finds exactly the places that hold a key by the definition of the format.
//!
//! The first byte selects the prefix. Each line of the input is a piece of the text: as it is, or a key made of its bytes,
//! whole, changed in one bit, or cut.
#![no_main]

use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use tower_api_key::key::KeyFormat;

/// Some of them can begin within a key, or within themselves.
const PREFIXES: [&str; 5] = ["avk_", "acme-live_", "a", "0a0", "_"];
const HEX: &[u8; 16] = b"0123456789abcdef";

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let prefix = PREFIXES[usize::from(*first) % PREFIXES.len()];
    let text: Vec<u8> = rest.split(|byte| *byte == b'\n').take(64).flat_map(|line| piece(prefix, line)).collect();

    let format = KeyFormat::new(prefix).unwrap();
    let found: Vec<_> = format.scan(&text).collect();
    assert_eq!(found, keys(prefix, &text));
    // The pattern for other scanners is the prefix and 40 digits.
    assert_eq!(format.pattern(), format!("{prefix}[0-9a-f]{{40}}"));
    if let Ok(text) = std::str::from_utf8(&text) {
        assert!(format.scan(text).eq(found), "a text is scanned as its bytes");
    }
});

fn piece(prefix: &str, line: &[u8]) -> Vec<u8> {
    let Some((kind, rest)) = line.split_first() else { return Vec::new() };
    if kind % 4 == 0 {
        return rest.to_vec();
    }
    let digit = |at: usize| HEX[usize::from(rest.get(at).copied().unwrap_or_default() % 16)];
    let mut key = prefix.as_bytes().to_vec();
    key.extend((0..32).map(digit));
    key.extend(format!("{:08x}", crc_32(&key)).bytes());
    let place = rest.iter().map(|byte| usize::from(*byte)).sum::<usize>() % key.len();
    match kind % 4 {
        1 => {}
        2 => key[place] ^= 1 << (kind / 4 % 8),
        _ => key.truncate(place),
    }
    key
}

/// Looks at every place, from the left. Keys do not overlap.
fn keys(prefix: &str, text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = start + prefix.len() + 40;
        if text.get(start..end).is_some_and(|candidate| is_key(prefix, candidate)) {
            found.push(start..end);
            start = end;
        } else {
            start += 1;
        }
    }
    found
}

fn is_key(prefix: &str, candidate: &[u8]) -> bool {
    let Some(body) = candidate.strip_prefix(prefix.as_bytes()) else { return false };
    body.iter().all(|byte| HEX.contains(byte))
        && body[32..] == *format!("{:08x}", crc_32(&candidate[..prefix.len() + 32])).as_bytes()
}

/// Bit by bit, from the definition of the polynomial.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}
