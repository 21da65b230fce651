//! There is more than one key, so that the request is ambiguous.

use super::keys::{EXPIRED, KEY, REVOKED, UNKNOWN};
use super::world::Verdict::{Accepted, Invalid, Server};
use super::world::{World, opaque_and_formatted};

const NAME: &str = "x-avala-api-key";

/// Cases: 3.
#[tokio::test]
async fn two_key_headers_are_rejected() {
    let values = [KEY, UNKNOWN, REVOKED, EXPIRED, "bad", ""];
    let names =
        [("X-Avala-Api-Key", "X-Avala-Api-Key"), ("X-Avala-Api-Key", "x-avala-api-key"), (NAME, "X-AVALA-API-KEY")];
    for world in World::each(|layer| layer).await {
        for first in values {
            for second in values {
                for (name, other_name) in names {
                    for between in ["", "Accept: */*\r\n"] {
                        let lines = format!("{name}: {first}\r\n{between}{other_name}: {second}\r\n");
                        world.lines(lines.as_bytes(), Invalid(0)).await;
                    }
                }
                let headers = [(NAME, first.as_bytes()), ("accept", b"*/*"), (NAME, second.as_bytes())];
                world.http2(&headers, Invalid(0)).await;
                world.direct(&headers, Invalid(0)).await;
            }
        }
    }
}

/// Cases: 4.
/// Of any number of copies, two are read. What that costs is not measured here.
#[tokio::test]
async fn many_key_headers_are_rejected() {
    for world in World::each(|layer| layer).await {
        for copies in [2, 3, 50, 97] {
            world.lines(format!("X-Avala-Api-Key: {KEY}\r\n").repeat(copies).as_bytes(), Invalid(0)).await;
        }
        world.lines(format!("X-Avala-Api-Key: {KEY}\r\n").repeat(150).as_bytes(), Server(431)).await;
        world.http2(&[(NAME, KEY.as_bytes()); 97], Invalid(0)).await;
        world.direct(&[(NAME, KEY.as_bytes()); 1000], Invalid(0)).await;
    }
}

/// Cases: 5.
/// A proxy may join repeated headers into one (RFC 9110, 5.3).
#[tokio::test]
async fn keys_joined_by_proxy_are_rejected() {
    let joined = [
        format!("{KEY}, {UNKNOWN}"),
        format!("{UNKNOWN}, {KEY}"),
        format!("{KEY}, {KEY}"),
        format!("{KEY},{KEY}"),
        format!("{KEY},"),
        format!(",{KEY}"),
        format!("{KEY}, "),
        format!("{KEY};{KEY}"),
        format!("{KEY} {KEY}"),
    ];
    for (worlds, lookups) in opaque_and_formatted().await {
        for world in &worlds {
            for value in &joined {
                world.value(value.as_bytes(), Invalid(lookups)).await;
                world.http2(&[(NAME, value.as_bytes())], Invalid(lookups)).await;
            }
        }
    }
}

/// Cases: 9.
/// An invalid key in one place does not make the layer read the other place.
#[tokio::test]
async fn keys_in_two_places_are_rejected() {
    for world in World::each(|layer| layer.accept_bearer()).await {
        for own in [KEY, UNKNOWN, REVOKED, "bad", ""] {
            for bearer in [KEY, UNKNOWN, REVOKED, "bad", ""] {
                let (own_line, bearer) = (format!("X-Avala-Api-Key: {own}\r\n"), format!("Bearer {bearer}"));
                let bearer_line = format!("Authorization: {bearer}\r\n");
                world.lines(format!("{own_line}{bearer_line}").as_bytes(), Invalid(0)).await;
                world.lines(format!("{bearer_line}{own_line}").as_bytes(), Invalid(0)).await;
                world.http2(&[(NAME, own.as_bytes()), ("authorization", bearer.as_bytes())], Invalid(0)).await;
            }
        }
        // A second `Authorization` leaves open which one was meant, too.
        for second in [format!("Bearer {KEY}"), "Basic eDp5".to_owned()] {
            let lines = format!("Authorization: Bearer {KEY}\r\nAuthorization: {second}\r\n");
            world.lines(lines.as_bytes(), Invalid(0)).await;
        }
        // Another scheme is another service's credential.
        let lines = format!("X-Avala-Api-Key: {KEY}\r\nAuthorization: Basic eDp5\r\n");
        world.lines(lines.as_bytes(), Accepted).await;
    }
}
