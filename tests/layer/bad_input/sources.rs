//! Where the key is read, and what may not change that.

use axum::extract::Request;
use axum::middleware::map_request;
use http::HeaderName;
use http::header::CONNECTION;
use tower_api_key::ApiKeyLayer;
use tower_api_key::scope::avala;

use super::keys::{EXPIRED, KEY, REVOKED, UNKNOWN};
use super::world::Verdict::{Accepted, Expired, Forbidden, Invalid, Missing};
use super::world::{Configure, World};
use crate::support::frames::{self, Answer};

const NAME: &str = "x-avala-api-key";

/// Cases: 7.
#[tokio::test]
async fn header_name_ignores_letter_case() {
    // Each letter once in the other case, then all of them by turns.
    let one_upper = (0..NAME.len()).map(|at| {
        let mut name = NAME.to_owned();
        name[at..=at].make_ascii_uppercase();
        name
    });
    let by_turns = [0, 1].map(|odd| {
        let letters = NAME.chars().enumerate();
        letters.map(|(at, letter)| if at % 2 == odd { letter.to_ascii_uppercase() } else { letter }).collect()
    });
    let names: Vec<String> = one_upper.chain(by_turns).chain([NAME.to_uppercase(), "X-Avala-Api-Key".into()]).collect();
    for world in World::each(|layer| layer).await {
        for name in &names {
            for (key, verdict) in [(KEY, Accepted), (UNKNOWN, Invalid(1)), (EXPIRED, Expired), ("", Missing)] {
                world.lines(format!("{name}: {key}\r\n").as_bytes(), verdict).await;
                world.http2(&[(name, key.as_bytes())], verdict).await;
            }
        }
    }
}

/// Cases: 7.
/// On the wire of HTTP/2 a name has small letters alone (RFC 9113, 8.2.1). hyper's client sees to that, so this is
/// written by hand: the server rejects anything else before the layer.
#[tokio::test]
async fn http_2_header_name_is_lower_case() {
    for world in World::each(|layer| layer).await {
        let ask = async |name: &[u8], key: &str| {
            frames::ask(world.server.http2, b"/datasets/", &[(name, key.as_bytes())]).await
        };
        assert_eq!(ask(NAME.as_bytes(), KEY).await, Answer::Accepted);
        world.check_counts(1, 1, "by hand");
        assert_eq!(ask(NAME.as_bytes(), UNKNOWN).await, Answer::OtherStatus);
        world.check_counts(1, 0, "by hand");
        for name in ["X-Avala-Api-Key", "X-AVALA-API-KEY", "x-avala-api-keY"] {
            assert_eq!(ask(name.as_bytes(), KEY).await, Answer::Reset, "{name}");
            world.check_counts(0, 0, "by hand");
        }
    }
}

/// Cases: 10.
#[tokio::test]
async fn each_key_source_gives_the_same_decisions() {
    let places: [(Configure, &str); 3] = [
        (|layer| layer, "X-Avala-Api-Key: "),
        (|layer| layer.accept_bearer(), "X-Avala-Api-Key: "),
        (|layer| layer.accept_bearer(), "Authorization: Bearer "),
    ];
    for (configure, place) in places {
        for world in World::each(configure).await {
            for (key, verdict) in [
                (KEY, Accepted),
                (UNKNOWN, Invalid(1)),
                (REVOKED, Invalid(1)),
                (EXPIRED, Expired),
                ("bad", Invalid(1)),
                (&"x".repeat(513), Invalid(0)),
                ("", Missing),
            ] {
                world.lines(format!("{place}{key}\r\n").as_bytes(), verdict).await;
            }
        }
        for world in World::each(|layer| configure(layer).require(avala::DATASETS_WRITE)).await {
            world.lines(format!("{place}{KEY}\r\n").as_bytes(), Forbidden).await;
        }
    }
}

/// Cases: 11.
#[tokio::test]
async fn scheme_in_key_header_is_part_of_the_key() {
    for configure in [|layer: ApiKeyLayer| layer, |layer: ApiKeyLayer| layer.accept_bearer()] {
        for world in World::each(configure).await {
            for scheme in ["Bearer ", "bearer ", "ApiKey ", "Token ", "Basic "] {
                world.value(format!("{scheme}{KEY}").as_bytes(), Invalid(1)).await;
                world.http2(&[(NAME, format!("{scheme}{KEY}").as_bytes())], Invalid(1)).await;
            }
        }
    }
}

/// Cases: 22.
#[tokio::test]
async fn client_cannot_make_key_header_hop_by_hop() {
    let lines = |connection: &str| format!("Connection: {connection}\r\nX-Avala-Api-Key: {KEY}\r\n");
    let connections = ["x-avala-api-key", "X-Avala-Api-Key", "keep-alive, X-Avala-Api-Key", "close, x-avala-api-key"];
    for world in World::each(|layer| layer).await {
        for connection in connections {
            world.lines(lines(connection).as_bytes(), Accepted).await;
        }
    }
    // Behind a proxy that follows the client's `Connection` header there is no key, and the response states it.
    for world in World::each_behind(|router| router.layer(map_request(strip_hop_by_hop)), |layer| layer).await {
        for connection in connections {
            world.lines(lines(connection).as_bytes(), Missing).await;
        }
        world.lines(lines("keep-alive").as_bytes(), Accepted).await;
    }
}

/// What a proxy does (RFC 9110, 7.6.1).
async fn strip_hop_by_hop(mut request: Request) -> Request {
    let named: Vec<HeaderName> = request
        .headers()
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        request.headers_mut().remove(name);
    }
    request
}
