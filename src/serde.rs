//! Serialization of the vocabulary types. Each value is validated by the constructor that also parses it.
//!
//! `KeyId`, `KeyDigest` (in hexadecimal digits), `KeyHint`, `KeyStatus`, `OrganizationId` and `Scope` are texts, and a
//! `ScopeSet` is a list of them. `Access` is `"full"` or `{"scoped": ["datasets.read"]}`. `OrganizationPolicy` is
//! `{"max_key_age_seconds": 7776000, "disabled": false}`, where both fields may be absent. `KeyRecord` is an object: see
//! `guide::keys_from_file`.

mod record;
mod time_text;

use std::convert::Infallible;
use std::time::Duration;

use ::serde::de::Error;
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::AllowedNetworks;
use crate::key::{Environment, KeyDigest, KeyHint, KeyId, KeyStatus, OrganizationId, OrganizationPolicy};
use crate::scope::{Access, Scope, ScopeSet};

/// Serializes a type as a text, and deserializes it by parsing the text.
macro_rules! serialize_as_text {
    ($($type:ty: $to_text:expr, $from_text:expr;)*) => { $(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$to_text(self))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $from_text(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    )* };
}

serialize_as_text! {
    AllowedNetworks: ToString::to_string, str::parse;
    Environment: Environment::as_str, Environment::new;
    KeyId: ToString::to_string, str::parse;
    KeyDigest: KeyDigest::to_hex, KeyDigest::from_hex;
    KeyHint: KeyHint::as_str, |text: &String| Ok::<_, Infallible>(KeyHint::from_stored(text));
    KeyStatus: ToString::to_string, str::parse;
    OrganizationId: OrganizationId::as_str, OrganizationId::new;
    Scope: Scope::as_str, Scope::new;
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Scope>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Access", rename_all = "lowercase")]
enum AccessForm {
    Full,
    Scoped(ScopeSet),
}

impl Serialize for Access {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AccessForm::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AccessForm::deserialize(deserializer)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyForm {
    #[serde(default)]
    max_key_age_seconds: Option<u64>,
    #[serde(default)]
    disabled: bool,
}

impl Serialize for OrganizationPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let max_key_age_seconds = self.max_key_age().map(|age| age.as_secs());
        PolicyForm { max_key_age_seconds, disabled: self.is_disabled() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OrganizationPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let PolicyForm { max_key_age_seconds, disabled } = PolicyForm::deserialize(deserializer)?;
        let policy = Self::default().with_disabled(disabled);
        Ok(max_key_age_seconds.map(Duration::from_secs).map_or(policy, |age| policy.with_max_key_age(age)))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use ::serde::de::DeserializeOwned;

    use super::*;
    use crate::scope::avala::{PROJECTS_READ, TASKS_READ};

    pub(super) fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, json: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
        // A borrowed text, and an owned one.
        assert_eq!(&serde_json::from_reader::<_, T>(json.as_bytes()).unwrap(), value);
    }

    pub(super) fn is_rejected<T: DeserializeOwned + Debug>(json: &[&str]) {
        for json in json {
            let result = serde_json::from_str::<T>(json);
            assert!(result.is_err(), "{json} is read as {result:?}");
        }
    }

    #[test]
    fn text_types_round_trip() {
        round_trips(&KeyId::from_u128(7), "\"00000000-0000-0000-0000-000000000007\"");
        let digest = KeyDigest::hash(b"abc");
        round_trips(&digest, "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"");
        round_trips(&KeyHint::from_stored("avk_...4567"), "\"avk_...4567\"");
        round_trips(&KeyHint::default(), "\"\"");
        for (status, json) in [
            (KeyStatus::Active, "\"active\""),
            (KeyStatus::Expired, "\"expired\""),
            (KeyStatus::Revoked, "\"revoked\""),
        ] {
            round_trips(&status, json);
        }
        round_trips(&OrganizationId::from_static("acme \"west\""), r#""acme \"west\"""#);
        round_trips(&TASKS_READ, "\"tasks.read\"");
    }

    #[test]
    fn invalid_texts_are_rejected() {
        is_rejected::<KeyId>(&["\"7\"", "7", "null"]);
        is_rejected::<KeyDigest>(&["\"ba7816bf\"", "[0]", "null"]);
        is_rejected::<KeyHint>(&["7", "null"]);
        is_rejected::<KeyStatus>(&["\"Active\"", "\"\"", "null"]);
        is_rejected::<OrganizationId>(&["\"\"", "\"a\\n\"", "null"]);
        is_rejected::<Scope>(&["\"\"", "\"a,b\"", "null"]);
    }

    /// A whole key that was stored as a hint by mistake.
    #[test]
    fn hint_of_whole_key_is_shortened() {
        let hint: KeyHint = serde_json::from_str("\"avk_00112233445566778899aabbccddeeff01234567\"").unwrap();
        assert_eq!(hint.as_str(), "...4567");
    }

    #[test]
    fn access_round_trips() {
        round_trips(&Access::Full, "\"full\"");
        round_trips(&Access::scoped([]), r#"{"scoped":[]}"#);
        round_trips(&Access::scoped([TASKS_READ, PROJECTS_READ]), r#"{"scoped":["projects.read","tasks.read"]}"#);
    }

    #[test]
    fn access_in_another_form_is_rejected() {
        is_rejected::<Access>(&[
            "null",
            "\"\"",
            "\"Full\"",
            "\"scoped\"",
            "[]",
            "{}",
            r#"{"scoped":null}"#,
            r#"{"scoped":"full"}"#,
            r#"{"scoped":["a","b c"]}"#,
            r#"{"scoped":["a"],"full":null}"#,
            r#"{"full":[]}"#,
            r#"{"other":["a"]}"#,
        ]);
    }

    #[test]
    fn scope_set_round_trips() {
        round_trips(&ScopeSet::empty(), "[]");
        round_trips(&ScopeSet::from([TASKS_READ, PROJECTS_READ]), r#"["projects.read","tasks.read"]"#);
        let repeated: ScopeSet = serde_json::from_str(r#"["tasks.read","tasks.read"]"#).unwrap();
        assert_eq!(repeated, ScopeSet::from([TASKS_READ]));
        is_rejected::<ScopeSet>(&["null", "\"tasks.read\"", "[\"\"]", "[7]"]);
    }

    #[test]
    fn policy_round_trips() {
        let policy = OrganizationPolicy::default();
        round_trips(&policy, r#"{"max_key_age_seconds":null,"disabled":false}"#);
        let strict = policy.with_max_key_age(Duration::from_secs(60)).with_disabled(true);
        round_trips(&strict, r#"{"max_key_age_seconds":60,"disabled":true}"#);
        assert_eq!(serde_json::from_str::<OrganizationPolicy>("{}").unwrap(), policy);
        is_rejected::<OrganizationPolicy>(&[
            "null",
            r#"{"disable":true}"#,
            r#"{"disabled":null}"#,
            r#"{"disabled":"no"}"#,
            r#"{"max_key_age_seconds":-1}"#,
            r#"{"max_key_age_seconds":1.5}"#,
        ]);
    }
}
