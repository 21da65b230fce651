//! Any bytes as a key: what the format takes is its prefix, 32 digits and their checksum, and one bit less is not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_api_key::key::KeyFormat;

fuzz_target!(|data: &[u8]| {
    assert_eq!(KeyFormat::AVALA.matches(data), is_avala(data));
    // Such keys are not found by chance.
    let digits: Vec<u8> = data.iter().take(32).map(|byte| b"0123456789abcdef"[usize::from(byte % 16)]).collect();
    let mut key = [b"avk_", &digits[..]].concat();
    key.extend(format!("{:08x}", crc_32(&key)).bytes());
    assert_eq!(KeyFormat::AVALA.matches(&key), digits.len() == 32);
    if let Some(bit) = data.first() {
        let at = usize::from(*bit) % (key.len() * 8);
        key[at / 8] ^= 1 << (at % 8);
        assert!(!KeyFormat::AVALA.matches(&key), "a checksum notices one bit");
    }
    if let Some(format) = std::str::from_utf8(data).ok().and_then(|text| KeyFormat::new(text.to_owned()).ok()) {
        assert_eq!(format.prefix().as_bytes(), data);
        assert!(!format.matches(data));
    }
});

fn is_avala(text: &[u8]) -> bool {
    text.len() == 44
        && text.starts_with(b"avk_")
        && text[4..].iter().all(|byte| b"0123456789abcdef".contains(byte))
        && text[36..] == *format!("{:08x}", crc_32(&text[..36])).as_bytes()
}

/// Bit by bit, from the definition of the polynomial.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}
