//! Every combination of sources, formats and requirements, against an oracle.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::auth::{AuthScheme, CredentialSource};
use tower_api_key::decision::Denial;
use tower_api_key::key::{Environment, KeyDigest, KeyFormat, KeyId, KeyRecord};
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::CredentialError;
use tower_api_key::scope::avala;
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, Rejection};

const FIRST: HeaderName = HeaderName::from_static("x-first-key");
const SECOND: HeaderName = HeaderName::from_static("x-second-key");

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    First,
    Second,
    Bearer,
    Scheme,
    WebSocket,
}

const PLACES: [Place; 5] = [Place::First, Place::Second, Place::Bearer, Place::Scheme, Place::WebSocket];

impl Place {
    fn source(self) -> CredentialSource {
        match self {
            Self::First => CredentialSource::header(FIRST),
            Self::Second => CredentialSource::header(SECOND),
            Self::Bearer => CredentialSource::bearer(),
            Self::Scheme => CredentialSource::authorization(AuthScheme::API_KEY),
            Self::WebSocket => CredentialSource::websocket_protocol(),
        }
    }

    fn header(self) -> HeaderName {
        match self {
            Self::First => FIRST,
            Self::Second => SECOND,
            Self::Bearer | Self::Scheme => AUTHORIZATION,
            Self::WebSocket => SEC_WEBSOCKET_PROTOCOL,
        }
    }

    fn value(self, key: &str) -> String {
        match self {
            Self::First | Self::Second => key.to_owned(),
            Self::Bearer => format!("bearer   {key}"),
            Self::Scheme => format!("ApiKey {key}"),
            Self::WebSocket => format!("chat, base64url.api-key.{}", base64url(key)),
        }
    }

    fn challenge(self, error: &str) -> String {
        match self {
            Self::First => r#"ApiKey realm="api", header="X-First-Key""#.to_owned(),
            Self::Second => r#"ApiKey realm="api", header="X-Second-Key""#.to_owned(),
            Self::Bearer => format!(r#"Bearer realm="api"{error}"#),
            Self::Scheme => r#"ApiKey realm="api""#.to_owned(),
            Self::WebSocket => r#"ApiKey realm="api", websocket-protocol="base64url.api-key.""#.to_owned(),
        }
    }
}

/// Written out, so that the test has no encoder in common with the crate.
fn base64url(key: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String = key.bytes().map(|byte| format!("{byte:08b}")).collect();
    let sextets = bits.as_bytes().chunks(6).map(|chunk| {
        let sextet = format!("{:0<6}", std::str::from_utf8(chunk).unwrap());
        char::from(LETTERS[usize::from_str_radix(&sextet, 2).unwrap()])
    });
    sextets.collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Key {
    Live,
    Test,
    /// Valid, in no format.
    Opaque,
    /// In the live format, never issued.
    Unknown,
    /// The token of another authenticator.
    Token,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Formats {
    Any,
    Live,
    Both,
}

#[derive(Clone, Debug)]
struct Case {
    sources: Vec<Place>,
    formats: Formats,
    /// Whether a scope is required that no key has.
    scope: bool,
    anonymous: bool,
    keep: bool,
}

type Sent = Vec<(Place, Key)>;

impl Case {
    fn is_read(&self, place: Place, key: Key) -> bool {
        let begins_as_ours = match self.formats {
            Formats::Any => true,
            Formats::Live => matches!(key, Key::Live | Key::Unknown),
            Formats::Both => matches!(key, Key::Live | Key::Unknown | Key::Test),
        };
        self.sources.contains(&place) && (place != Place::Bearer || begins_as_ours)
    }

    /// The outcome, and the environment of the event.
    fn expected(&self, sent: &Sent) -> (Outcome, Option<&'static str>) {
        let read: Vec<_> = sent.iter().filter(|(place, key)| self.is_read(*place, *key)).collect();
        let in_authorization = |place: Place| matches!(place, Place::Bearer | Place::Scheme);
        let two_lines = sent.iter().filter(|(place, _)| in_authorization(*place)).count() == 2;
        let (place, key) = match read[..] {
            [] if self.anonymous && !self.scope => return (Outcome::Anonymous, None),
            [] => return (rejected(CredentialError::Missing), None),
            [one] => *one,
            _ => return (rejected(CredentialError::Repeated), None),
        };
        if two_lines && in_authorization(place) {
            return (rejected(CredentialError::Repeated), None);
        }
        let environment = match (self.formats, key) {
            (Formats::Live | Formats::Both, Key::Live | Key::Unknown) => Some("live"),
            (Formats::Both, Key::Test) => Some("test"),
            _ => None,
        };
        let outcome = match key {
            _ if self.formats != Formats::Any && environment.is_none() => rejected(CredentialError::Malformed),
            Key::Unknown | Key::Token => rejected(Denial::Unknown),
            _ if self.scope => rejected(Denial::InsufficientScope),
            _ => Outcome::Accepted,
        };
        (outcome, environment)
    }
}

fn rejected(rejection: impl Into<Rejection>) -> Outcome {
    Outcome::Rejected(rejection.into())
}

struct Keys {
    store: MemoryStore,
    live: KeyFormat,
    test: KeyFormat,
    texts: [String; 5],
}

impl Keys {
    fn new() -> Self {
        let live = KeyFormat::new("acme_live_").unwrap().with_environment(Environment::from_static("live"));
        let test = KeyFormat::new("acme_test_").unwrap().with_environment(Environment::from_static("test"));
        let generate = |format: &KeyFormat| format.generate().unwrap().expose_secret().to_owned();
        let texts =
            [generate(&live), generate(&test), "an opaque key".to_owned(), generate(&live), "eyJ.e30.x".to_owned()];
        let store = MemoryStore::new();
        for (id, key) in texts.iter().take(3).enumerate() {
            let id = KeyId::from_u128(u128::try_from(id).unwrap() + 1);
            let access = Access::scoped([avala::DATASETS_READ]);
            store.add(KeyRecord::new(id, KeyDigest::hash(key.as_bytes()), "acme".parse().unwrap(), access)).unwrap();
        }
        Self { store, live, test, texts }
    }

    fn text(&self, key: Key) -> &str {
        let at = [Key::Live, Key::Test, Key::Opaque, Key::Unknown, Key::Token].iter().position(|known| *known == key);
        &self.texts[at.unwrap()]
    }

    fn layer(&self, case: &Case) -> ApiKeyLayer {
        let mut layer = ApiKeyLayer::new(self.store.clone()).sources(case.sources.iter().map(|place| place.source()));
        // Two calls add up.
        if case.formats != Formats::Any {
            layer = layer.require_formats([self.live.clone()]);
        }
        if case.formats == Formats::Both {
            layer = layer.require_formats([self.test.clone()]);
        }
        if case.scope {
            layer = layer.require(avala::DATASETS_WRITE);
        }
        if case.anonymous {
            layer = layer.allow_anonymous();
        }
        if case.keep { layer.keep_header() } else { layer }
    }
}

/// Cases: 163, 164.
#[test]
fn sources_and_formats_match_oracle() {
    let (keys, sent, mut outcomes) = (Keys::new(), every_sent(), std::collections::HashMap::new());
    for case in every_case() {
        let (events, seen) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
        let (reported, inside) = (Arc::clone(&events), Arc::clone(&seen));
        let layer = keys.layer(&case).on_decision(move |event| {
            reported.lock().unwrap().push((event.outcome(), event.environment().map(str::to_owned)));
        });
        let service = layer.layer(service_fn(move |request: Request<()>| {
            *inside.lock().unwrap() = Some(request.into_parts().0.headers);
            async { Ok::<_, Infallible>(Response::new(String::new())) }
        }));
        for sent in &sent {
            let mut request = Request::new(());
            for (place, key) in sent {
                let value = place.value(keys.text(*key)).parse().unwrap();
                request.headers_mut().append(place.header(), value);
            }
            let response = block_on(service.clone().oneshot(request)).unwrap();
            let (outcome, environment) = case.expected(sent);
            let expected = [(outcome, environment.map(str::to_owned))];
            assert_eq!(std::mem::take(&mut *events.lock().unwrap()), expected, "{case:?} {sent:?}");
            match (outcome, seen.lock().unwrap().take()) {
                (Outcome::Rejected(rejection), None) => check_challenge(&case, rejection, response.headers()),
                (Outcome::Accepted | Outcome::Anonymous, Some(headers)) => check_headers(&keys, &case, sent, &headers),
                (outcome, seen) => panic!("{case:?} {sent:?}: {outcome:?}, {seen:?}"),
            }
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
    }
    // Accepted, anonymous, missing, repeated, malformed, unknown, insufficient.
    assert!(outcomes.len() == 7 && outcomes.values().all(|count| *count > 500), "{outcomes:?}");
}

fn check_challenge(case: &Case, rejection: Rejection, headers: &HeaderMap) {
    let challenges: Vec<_> = headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect();
    let error = if rejection == CredentialError::Missing.into() { "" } else { r#", error="invalid_token""# };
    let expected: Vec<_> = case.sources.iter().map(|place| place.challenge(error)).collect();
    assert_eq!(challenges, if rejection.status() == 401 { expected } else { Vec::new() }, "{case:?}");
}

/// The handler sees what is no key of the layer, and, if the layer keeps it, the key as sensitive.
fn check_headers(keys: &Keys, case: &Case, sent: &Sent, headers: &HeaderMap) {
    let expected = sent.iter().filter_map(|(place, key)| {
        let read = case.is_read(*place, *key);
        let value = place.value(keys.text(*key));
        match (read, case.keep, place) {
            (true, false, Place::WebSocket) => Some((place.header(), "chat".to_owned(), false)),
            (true, false, _) => None,
            (true, true, _) => Some((place.header(), value, true)),
            (false, ..) => Some((place.header(), value, false)),
        }
    });
    let expected: Vec<_> = expected.collect();
    let shown = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.clone(), value.to_str().unwrap().to_owned(), value.is_sensitive())
    };
    let mut seen: Vec<_> = headers.iter().map(shown).collect();
    seen.sort_by_key(|(name, ..)| expected.iter().position(|(expected, ..)| expected == name));
    assert_eq!(seen, expected, "{case:?} {sent:?}");
}

fn every_case() -> impl Iterator<Item = Case> {
    let sources = (1_u8..32).map(|bits| {
        PLACES.into_iter().enumerate().filter(move |(at, _)| bits >> at & 1 == 1).map(|(_, place)| place).collect()
    });
    sources.flat_map(|sources: Vec<Place>| {
        [Formats::Any, Formats::Live, Formats::Both].into_iter().flat_map(move |formats| {
            let sources = sources.clone();
            (0_u8..8).map(move |bits| Case {
                sources: sources.clone(),
                formats,
                scope: bits & 1 == 1,
                anonymous: bits & 2 == 2,
                keep: bits & 4 == 4,
            })
        })
    })
}

/// Nothing, one key, and two keys in two places.
fn every_sent() -> Vec<Sent> {
    let keys = [Key::Live, Key::Test, Key::Opaque, Key::Unknown, Key::Token];
    let one = PLACES.into_iter().flat_map(|place| keys.map(|key| vec![(place, key)]));
    let two = PLACES.into_iter().enumerate().flat_map(|(at, first)| {
        PLACES[at + 1..].iter().flat_map(move |second| {
            keys.into_iter()
                .flat_map(move |key| [Key::Live, Key::Token].map(|other| vec![(first, key), (*second, other)]))
        })
    });
    std::iter::once(Vec::new()).chain(one).chain(two).collect()
}
