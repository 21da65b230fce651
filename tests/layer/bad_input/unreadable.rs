//! What no header may hold, and what is too much of it.

use http::HeaderValue;

use super::keys::KEY;
use super::world::Verdict::{Accepted, Invalid, Server};
use super::world::World;
use crate::support::frames::{self, Answer};

const NAME: &str = "x-avala-api-key";

/// Cases: 17.
#[tokio::test]
async fn control_characters_never_reach_the_layer() {
    let controls = || (0..32).chain([127]).filter(|byte| *byte != b'\t');
    for byte in controls() {
        assert!(HeaderValue::from_bytes(&[KEY.as_bytes(), &[byte]].concat()).is_err(), "{byte}");
    }
    for world in World::each(|layer| layer).await {
        for byte in controls() {
            let (first, second) = KEY.as_bytes().split_at(20);
            world.value(&[first, &[byte], second].concat(), Server(400)).await;
            // A line feed alone ends a line for hyper, as RFC 9112, 2.2, allows.
            if byte != b'\n' {
                world.value(&[KEY.as_bytes(), &[byte]].concat(), Server(400)).await;
                world.value(&[&[byte], KEY.as_bytes()].concat(), Server(400)).await;
            }
            let headers: [(&[u8], &[u8]); 1] = [(NAME.as_bytes(), &[first, &[byte], second].concat())];
            assert_eq!(frames::ask(world.server.http2, b"/datasets/", &headers).await, Answer::Reset, "{byte}");
            world.check_counts(0, 0, "by hand");
        }
        let folded = format!("X-Avala-Api-Key: {}\r\n {}\r\n", &KEY[..20], &KEY[20..]);
        for lines in [
            folded.clone(),
            folded.replace("\r\n ", "\r\n\t"),
            format!("X-Avala-Api-Key:\r\n {KEY}\r\n"),
            format!("X-Avala-Api-Key : {KEY}\r\n"),
            format!("X-Avala-Api-Key\t: {KEY}\r\n"),
            format!(" X-Avala-Api-Key: {KEY}\r\n"),
            format!("X-Avala Api-Key: {KEY}\r\n"),
            format!("X-Avala-Api-Key\0: {KEY}\r\n"),
            format!("X-Avala-Api-Key {KEY}\r\n"),
            format!(": {KEY}\r\n"),
        ] {
            world.lines(lines.as_bytes(), Server(400)).await;
        }
        // A smuggled line is a line: it makes two headers, never another value.
        world.value(format!("bad\nX-Avala-Api-Key: {KEY}").as_bytes(), Invalid(0)).await;
        world.value(KEY.as_bytes(), Accepted).await;
    }
}

/// Cases: 18.
/// The length is compared before anything else is done with the key, so 300,000 bytes cost no more than 513.
#[tokio::test]
async fn long_key_is_rejected() {
    for world in World::each(|layer| layer).await {
        for (length, verdict) in [
            (511, Invalid(1)),
            (512, Invalid(1)),
            (513, Invalid(0)),
            (8 << 10, Invalid(0)),
            (300_000, Invalid(0)),
            // hyper gives up at 400 KB or at twice that, depending on how the bytes arrive.
            (1_000_000, Server(431)),
        ] {
            for filler in [b'a', 0xff] {
                world.value(&vec![filler; length], verdict).await;
            }
            let starts_well = [KEY.as_bytes(), &vec![b'0'; length - KEY.len()]].concat();
            world.value(&starts_well, verdict).await;
            // Over HTTP/2, hyper takes at most 16 KiB of headers, and ends the connection at 64 KiB or so.
            if length < 16 << 10 {
                world.http2(&[(NAME, &starts_well)], verdict).await;
            }
            let direct = if length > 512 { Invalid(0) } else { Invalid(1) };
            world.direct(&[(NAME, &starts_well)], direct).await;
        }
        world.http2(&[(NAME, &[b'a'; 20 << 10])], Server(431)).await;
    }
}
