use base64ct::{Base64UrlUnpadded, Encoding};

use super::*;

const KEY: &str = "avk_00112233445566778899aabbccddeeff01234567";

fn source() -> Sources {
    Sources::new([CredentialSource::header(HeaderName::from_static("x-avala-api-key"))])
}

fn and_bearer() -> Sources {
    Sources::new(source().list.into_iter().chain([CredentialSource::bearer()]))
}

fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &[u8])| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
    };
    pairs.iter().map(pair).fold(HeaderMap::new(), |mut map, (name, value)| {
        map.append(name, value);
        map
    })
}

fn take(source: &Sources, pairs: &[(&'static str, &[u8])]) -> Result<KeyDigest, CredentialError> {
    source.take(&mut headers(pairs))
}

#[test]
fn single_header_is_hashed_byte_for_byte() {
    for key in [KEY.as_bytes(), b" padded ", b"in\tner", b"\xff\x80", &[b'a'; LONGEST]] {
        assert_eq!(take(&source(), &[("x-avala-api-key", key)]), Ok(KeyDigest::hash(key)));
    }
}

#[test]
fn blank_key_is_missing_and_two_are_repeated() {
    for blank in [&b""[..], b" ", b"\t \t"] {
        assert_eq!(take(&source(), &[("x-avala-api-key", blank)]), Err(CredentialError::Missing));
    }
    assert_eq!(take(&source(), &[]), Err(CredentialError::Missing));
    let key = KEY.as_bytes();
    for pair in [[key, key], [key, b""], [b"", key], [b"", b""]] {
        let pairs = [("x-avala-api-key", pair[0]), ("x-avala-api-key", pair[1])];
        assert_eq!(take(&source(), &pairs), Err(CredentialError::Repeated));
    }
}

#[test]
fn long_key_is_rejected_before_hashing() {
    assert_eq!(take(&source(), &[("x-avala-api-key", &[b'a'; LONGEST + 1])]), Err(CredentialError::TooLong));
    assert_eq!(take(&source(), &[("x-avala-api-key", &[b' '; 300_000])]), Err(CredentialError::TooLong));
}

/// Cases: 163.
#[test]
fn bearer_token_is_read_only_when_accepted() {
    let bearer = format!("Bearer {KEY}");
    let pairs: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
    assert_eq!(take(&source(), &pairs), Err(CredentialError::Missing));
    let source = and_bearer();
    assert_eq!(take(&source, &pairs), Ok(KeyDigest::hash(KEY.as_bytes())));
    for (value, expected) in [
        (&b"bEARER x"[..], Ok(KeyDigest::hash(b"x"))),
        (b"Bearer  x", Ok(KeyDigest::hash(b"x"))),
        (b"Bearer      x", Ok(KeyDigest::hash(b"x"))),
        (b"Bearer\tx", Err(CredentialError::Missing)),
        (b"Bearer   ", Err(CredentialError::Missing)),
        (b"Bearer", Err(CredentialError::Missing)),
        (b"Bearer ", Err(CredentialError::Missing)),
        (b"Bearerx", Err(CredentialError::Missing)),
        (b"Basic eDp5", Err(CredentialError::Missing)),
        (b"Digest x", Err(CredentialError::Missing)),
        (b"", Err(CredentialError::Missing)),
    ] {
        assert_eq!(take(&source, &[("authorization", value)]), expected, "{value:?}");
    }
}

/// Cases: 9.
#[test]
fn key_in_two_places_is_repeated() {
    let source = and_bearer();
    let bearer = format!("Bearer {KEY}");
    for (own, authorization) in [(KEY, &*bearer), ("", &*bearer), ("bad", &*bearer), (KEY, "Bearer"), (KEY, "Bearer x")]
    {
        let pairs = [("x-avala-api-key", own.as_bytes()), ("authorization", authorization.as_bytes())];
        assert_eq!(take(&source, &pairs), Err(CredentialError::Repeated), "{own} {authorization}");
    }
    let pairs = [("authorization", bearer.as_bytes()), ("authorization", b"Basic eDp5")];
    assert_eq!(take(&source, &pairs), Err(CredentialError::Repeated));
    // Another scheme is the credential of another authenticator.
    let pairs = [("x-avala-api-key", KEY.as_bytes()), ("authorization", b"Basic eDp5")];
    assert_eq!(take(&source, &pairs), Ok(KeyDigest::hash(KEY.as_bytes())));
}

/// Cases: 24.
#[test]
fn credential_is_removed_or_marked() {
    let pairs: [(&'static str, &[u8]); 2] = [("x-avala-api-key", KEY.as_bytes()), ("authorization", b"Basic eDp5")];
    let mut taken = headers(&pairs);
    source().take(&mut taken).unwrap();
    assert!(!taken.contains_key("x-avala-api-key") && taken.contains_key(AUTHORIZATION));

    let mut kept = headers(&pairs);
    Sources { keep: true, ..source() }.take(&mut kept).unwrap();
    assert!(kept["x-avala-api-key"].is_sensitive());

    let bearer = format!("Bearer {KEY}");
    let mut taken = headers(&[("authorization", bearer.as_bytes())]);
    and_bearer().take(&mut taken).unwrap();
    assert!(taken.is_empty());
}

#[test]
fn unread_bearer_token_is_left_alone() {
    let bearer = format!("Bearer {KEY}");
    // Repeated headers and a single one are read in two ways.
    for own in [&[KEY][..], &[KEY, KEY], &[]] {
        let mut pairs: Vec<(&'static str, &[u8])> = vec![("authorization", bearer.as_bytes())];
        pairs.extend(own.iter().map(|key| ("x-avala-api-key", key.as_bytes())));
        for keep in [false, true] {
            let mut sent = headers(&pairs);
            let _ = Sources { keep, ..source() }.take(&mut sent);
            assert_eq!(sent[AUTHORIZATION], *bearer, "{own:?}");
            assert!(!sent[AUTHORIZATION].is_sensitive(), "{own:?}");
        }
    }
}

#[test]
fn every_kept_credential_is_marked_sensitive() {
    let bearer = format!("Bearer {KEY}");
    let own = ("x-avala-api-key", KEY.as_bytes());
    let authorization = ("authorization", bearer.as_bytes());
    for pairs in [vec![own, own], vec![authorization], vec![own, authorization]] {
        let mut kept = headers(&pairs);
        let _ = Sources { keep: true, ..and_bearer() }.take(&mut kept);
        assert_eq!(kept.len(), pairs.len());
        assert!(kept.values().all(HeaderValue::is_sensitive), "{kept:?}");
    }
}

#[test]
fn source_hides_header_that_it_removes() {
    let other = Sources::new([CredentialSource::header(HeaderName::from_static("x-other"))]);
    assert!(source().hides(&source()));
    assert!(!source().hides(&other));
    assert!(!Sources { keep: true, ..source() }.hides(&source()));
    assert!(!Sources { keep: true, ..source() }.hides(&other));
}

#[test]
fn key_in_other_format_is_malformed() {
    let strict = Sources { formats: vec![KeyFormat::AVALA], ..source() };
    let key = KeyFormat::AVALA.generate().unwrap();
    let good = key.expose_secret().as_bytes();
    assert_eq!(take(&strict, &[("x-avala-api-key", good)]), Ok(key.digest()));
    assert_eq!(take(&strict, &[("x-avala-api-key", b"key")]), Err(CredentialError::Malformed));
    assert_eq!(take(&source(), &[("x-avala-api-key", b"key")]), Ok(KeyDigest::hash(b"key")));
}

/// Cases: 163.
#[test]
fn key_in_websocket_protocol_is_decoded_and_removed() {
    let source = Sources::new([CredentialSource::websocket_protocol()]);
    let of = |key: &[u8]| format!("base64url.api-key.{}", Base64UrlUnpadded::encode_string(key));
    let longest = [b'a'; LONGEST];
    for key in [KEY.as_bytes(), b"?>?>", b"\xff\xfe", b" padded ", &longest] {
        let line = format!("chat,  {} ,v2", of(key));
        let mut sent = headers(&[("sec-websocket-protocol", b"v1"), ("sec-websocket-protocol", line.as_bytes())]);
        assert_eq!(source.take(&mut sent), Ok(KeyDigest::hash(key)), "{line}");
        let left: Vec<_> = sent.get_all("sec-websocket-protocol").iter().collect();
        assert_eq!(left, ["v1", "chat, v2"], "{line}");

        let mut alone = headers(&[("sec-websocket-protocol", of(key).as_bytes())]);
        assert_eq!(source.take(&mut alone), Ok(KeyDigest::hash(key)));
        assert!(alone.is_empty());

        let twice = [of(key), of(key)];
        assert_eq!(
            take(&source, &[("sec-websocket-protocol", twice.join(",").as_bytes())]),
            Err(CredentialError::Repeated)
        );
        let lines = [&twice[0], &twice[1]].map(|line| ("sec-websocket-protocol", line.as_bytes()));
        assert_eq!(take(&source, &lines), Err(CredentialError::Repeated));
    }
    for (line, error) in [
        ("", CredentialError::Missing),
        ("chat", CredentialError::Missing),
        ("base64url.api-key", CredentialError::Missing),
        ("Base64url.api-key.eDp5", CredentialError::Missing),
        ("base64url.api-key.", CredentialError::Missing),
        ("base64url.api-key.e", CredentialError::Malformed),
        ("base64url.api-key.eDp5=", CredentialError::Malformed),
        ("base64url.api-key.+/==", CredentialError::Malformed),
        ("base64url.api-key.e Dp5", CredentialError::Malformed),
        (&*of(&[b'a'; LONGEST + 1]), CredentialError::TooLong),
    ] {
        let mut sent = headers(&[("sec-websocket-protocol", line.as_bytes())]);
        assert_eq!(source.take(&mut sent), Err(error), "{line}");
        let removed = error != CredentialError::Missing || line == "base64url.api-key.";
        assert_eq!(sent.is_empty(), removed, "{line}");
    }
}

/// Cases: 164.
#[test]
fn bearer_token_of_others_is_left_alone() {
    let source = Sources { formats: vec![KeyFormat::AVALA], ..and_bearer() };
    let key = KeyFormat::AVALA.generate().unwrap();
    let own = key.expose_secret().as_bytes();
    let ours = [b"Bearer ", own].concat();
    for others in [&b"Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"[..], b"bearer AVK_0", b"Bearer", b"Bearer "] {
        for keep in [false, true] {
            let source = Sources { keep, ..source.clone() };
            let mut sent = headers(&[("authorization", others)]);
            assert_eq!(source.take(&mut sent), Err(CredentialError::Missing));
            assert!(sent[AUTHORIZATION] == *others && !sent[AUTHORIZATION].is_sensitive());

            let mut sent = headers(&[("authorization", others), ("x-avala-api-key", own)]);
            assert_eq!(source.take(&mut sent), Ok(key.digest()));
            assert!(sent[AUTHORIZATION] == *others && !sent[AUTHORIZATION].is_sensitive());
        }
    }
    assert_eq!(take(&source, &[("authorization", &ours)]), Ok(key.digest()));
    let mut mistyped = headers(&[("authorization", b"Bearer avk_0")]);
    assert_eq!(source.take(&mut mistyped), Err(CredentialError::Malformed));
    assert!(mistyped.is_empty());
    // Only the key of a request with several lines is removed from it.
    let mut both = headers(&[("authorization", b"Basic eDp5"), ("authorization", &ours)]);
    assert_eq!(source.take(&mut both), Err(CredentialError::Repeated));
    assert_eq!(both.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), ["Basic eDp5"]);
}
