//! There is no key where one is expected.

use axum::body::Body;
use axum::extract::Request;
use http::HeaderName;
use tower_api_key::ApiKeyLayer;

use super::keys::KEY;
use super::world::Verdict::{Accepted, Invalid, Missing};
use super::world::World;

const NAME: &str = "x-avala-api-key";

/// Cases: 1.
#[tokio::test]
async fn missing_header_is_rejected() {
    for world in World::each(|layer| layer).await {
        world.lines(b"", Missing).await;
        world.lines(b"Accept: application/json\r\nX-Avala-Api-Keys: x\r\nX-Avala-Api-Ke: x\r\n", Missing).await;
        world.http2(&[], Missing).await;
        world.direct(&[], Missing).await;
        // A valid request, so that the others prove something.
        world.value(KEY.as_bytes(), Accepted).await;
        world.http2(&[(NAME, KEY.as_bytes())], Accepted).await;
        world.direct(&[(NAME, KEY.as_bytes())], Accepted).await;
    }
}

/// Cases: 2.
#[tokio::test]
async fn blank_key_counts_as_missing() {
    for world in World::each(|layer| layer).await {
        for blank in ["", " ", "\t", "   ", " \t \t", &" ".repeat(512), &"\t".repeat(512)] {
            // A server takes blanks away from both ends of a value in HTTP/1.1, but not in HTTP/2.
            world.value(blank.as_bytes(), Missing).await;
            world.http2(&[(NAME, blank.as_bytes())], Missing).await;
            world.direct(&[(NAME, blank.as_bytes())], Missing).await;
        }
        world.lines(b"X-Avala-Api-Key:\r\n", Missing).await;
        // So many blanks are too long to be looked at.
        world.direct(&[(NAME, &[b' '; 513])], Invalid(0)).await;
    }
}

/// Cases: 6.
#[tokio::test]
async fn header_with_underscores_is_ignored() {
    let names = ["X_Avala_Api_Key", "x_avala_api_key", "X-Avala-Api_Key", "X_AVALA-API-KEY", "HTTP_X_AVALA_API_KEY"];
    for world in World::each(|layer| layer).await {
        for name in names {
            world.lines(format!("{name}: {KEY}\r\n").as_bytes(), Missing).await;
            world.http2(&[(name, KEY.as_bytes())], Missing).await;
            // It neither helps nor harms: it is another header, which the handler gets.
            let lines = format!("{name}: bad\r\nX-Avala-Api-Key: {KEY}\r\n{name}: worse\r\n");
            let called = world.lines(lines.as_bytes(), Accepted).await.unwrap();
            assert_eq!(called.headers.get_all(name).iter().collect::<Vec<_>>(), ["bad", "worse"]);
        }
    }
}

/// Cases: 8.
/// A key in any other place does not count.
#[tokio::test]
async fn key_in_other_place_is_ignored() {
    let elsewhere = [
        format!("Authorization: Bearer {KEY}"),
        format!("Authorization: ApiKey {KEY}"),
        format!("Authorization: {KEY}"),
        format!("Proxy-Authorization: Bearer {KEY}"),
        format!("X-Api-Key: {KEY}"),
        format!("Api-Key: {KEY}"),
        format!("Avala-Api-Key: {KEY}"),
        format!("X-Auth-Token: {KEY}"),
        format!("X-Original-X-Avala-Api-Key: {KEY}"),
        format!("X-Forwarded-X-Avala-Api-Key: {KEY}"),
        format!("Cookie: X-Avala-Api-Key={KEY}; x-avala-api-key={KEY}; api_key={KEY}"),
        format!("Accept: text/html; x-avala-api-key={KEY}"),
    ];
    let targets = [
        format!("/datasets/?X-Avala-Api-Key={KEY}&x-avala-api-key={KEY}&api_key={KEY}&key={KEY}"),
        format!("/{KEY}/"),
        format!("http://{KEY}:{KEY}@test/datasets/"),
    ];
    let bodies = [
        format!("Content-Type: application/x-www-form-urlencoded|X-Avala-Api-Key={KEY}"),
        format!("Content-Type: application/json|{{\"X-Avala-Api-Key\":\"{KEY}\"}}"),
        format!("Content-Type: text/plain|X-Avala-Api-Key: {KEY}\r\n\r\n"),
    ];
    for world in World::each(|layer| layer).await {
        for line in &elsewhere {
            world.lines(format!("{line}\r\n").as_bytes(), Missing).await;
            let (name, value) = line.split_once(": ").unwrap();
            world.http2(&[(name, value.as_bytes())], Missing).await;
        }
        for target in &targets {
            world.bytes(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes(), Missing).await;
            let request = Request::get(target).body(Body::empty()).unwrap();
            world.call(request, Missing, target).await;
        }
        for body in &bodies {
            let (kind, body) = body.split_once('|').unwrap();
            let head = format!("POST /datasets/ HTTP/1.1\r\nHost: test\r\n{kind}\r\nContent-Length: {}", body.len());
            world.bytes(format!("{head}\r\n\r\n{body}").as_bytes(), Missing).await;
        }
        let trailer = format!(
            "POST /datasets/ HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Avala-Api-Key\r\n\r\n\
             1\r\nx\r\n0\r\nX-Avala-Api-Key: {KEY}\r\n\r\n"
        );
        world.bytes(trailer.as_bytes(), Missing).await;
    }
}

/// Cases: 8.
/// The other way round: where another header is the right one, the default one does not count.
#[tokio::test]
async fn default_header_is_ignored_where_another_is_set() {
    let x_api_key = |layer: ApiKeyLayer| {
        // The default challenge, as in the replies that are expected.
        layer
            .header(HeaderName::from_static("x-api-key"))
            .rejection_response(|rejected| rejected.rejection().to_response())
    };
    for world in World::each(x_api_key).await {
        world.lines(format!("X-Api-Key: {KEY}\r\n").as_bytes(), Accepted).await;
        world.lines(format!("X-Avala-Api-Key: {KEY}\r\n").as_bytes(), Missing).await;
        world.lines(format!("X-Avala-Api-Key: {KEY}\r\nX-Api-Key: bad\r\n").as_bytes(), Invalid(1)).await;
    }
}
