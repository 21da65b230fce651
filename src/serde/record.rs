//! `KeyRecord` as an object with the names of its fields, for keys in a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::serde::de::Error;
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time_text::TimeText;
use crate::client::AllowedNetworks;
use crate::key::{Environment, KeyDigest, KeyHint, KeyId, KeyRecord, Metadata, OrganizationId, OrganizationPolicy};
use crate::scope::Access;

/// A field that is misspelled must not be skipped: it may be the one that ends or narrows a key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordForm {
    id: KeyId,
    digest: KeyDigest,
    organization: OrganizationId,
    access: Access,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    name: Box<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    hint: KeyHint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[serde(default, skip_serializing_if = "AllowedNetworks::is_anywhere")]
    networks: AllowedNetworks,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<TimeText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    imported: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    suspended: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<TimeText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<TimeText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced_by: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used_at: Option<TimeText>,
    #[serde(default, skip_serializing_if = "is_default")]
    request_count: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    policy: OrganizationPolicy,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Serialize for KeyRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let form = RecordForm {
            id: self.id(),
            digest: *self.digest(),
            organization: self.organization().clone(),
            access: self.access().clone(),
            name: self.name().into(),
            hint: self.hint().clone(),
            environment: self.environment().cloned(),
            networks: self.networks().clone(),
            metadata: self.metadata().iter().map(text).collect(),
            created_at: Some(TimeText(self.created_at())),
            created_by: self.created_by().map(str::to_owned),
            imported: self.is_imported(),
            suspended: self.is_suspended(),
            expires_at: self.expires_at().map(TimeText),
            revoked_at: self.revoked_at().map(TimeText),
            replaced_by: self.replaced_by(),
            last_used_at: self.last_used_at().map(TimeText),
            request_count: self.request_count(),
            policy: self.policy(),
        };
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = RecordForm::deserialize(deserializer)?;
        let record = Self::new(form.id, form.digest, form.organization, form.access)
            .with_name(form.name)
            .with_hint(form.hint)
            .with_environment(form.environment)
            .with_networks(form.networks)
            .with_metadata(Metadata::new(form.metadata).map_err(D::Error::custom)?)
            .with_created_by(form.created_by.map(Arc::from))
            .with_imported(form.imported)
            .with_suspended(form.suspended)
            .with_expires_at(form.expires_at.map(|time| time.0))
            .with_revoked_at(form.revoked_at.map(|time| time.0))
            .with_replaced_by(form.replaced_by)
            .with_usage(form.last_used_at.map(|time| time.0), form.request_count)
            .with_policy(form.policy);
        Ok(match form.created_at {
            Some(TimeText(time)) => record.with_created_at(time),
            None => record,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::tests::{is_rejected, round_trips};
    use super::*;
    use crate::scope::avala::TASKS_READ;

    #[test]
    fn record_round_trips() {
        let digest = KeyDigest::hash(b"abc");
        let id = KeyId::from_u128(7);
        let plain = KeyRecord::new(id, digest, OrganizationId::from_static("acme"), Access::Full);
        let (id, digest) = (id.to_string(), digest.to_hex());
        let must = format!(r#""id":"{id}","digest":"{digest}","organization":"acme""#);
        round_trips(&plain, &format!(r#"{{{must},"access":"full","created_at":"1970-01-01T00:00:00Z"}}"#));
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let all = plain
            .clone()
            .with_access(Access::scoped([TASKS_READ]))
            .with_name("ci")
            .with_hint(KeyHint::from_stored("avk_...4567"))
            .with_environment(Environment::from_static("live"))
            .with_networks("198.51.100.0/24 2001:db8::/32".parse().unwrap())
            .with_metadata(Metadata::new([("plan", "pro")]).unwrap())
            .with_created_at(at(1))
            .with_created_by(Arc::from("ada"))
            .with_imported(true)
            .with_suspended(true)
            .with_expires_at(at(2))
            .with_revoked_at(at(3))
            .with_replaced_by(KeyId::from_u128(8))
            .with_usage(at(4), 5)
            .with_policy(OrganizationPolicy::default().with_disabled(true));
        let json = format!(
            "{{{must},{}}}",
            r#""access":{"scoped":["tasks.read"]},"name":"ci","hint":"avk_...4567","environment":"live","#.to_owned()
                + r#""networks":"198.51.100.0/24 2001:db8::/32","metadata":{"plan":"pro"},"#
                + r#""created_at":"1970-01-01T00:00:01Z","created_by":"ada","imported":true,"suspended":true,"#
                + r#""expires_at":"1970-01-01T00:00:02Z","revoked_at":"1970-01-01T00:00:03Z","#
                + r#""replaced_by":"00000000-0000-0000-0000-000000000008","last_used_at":"1970-01-01T00:00:04Z","#
                + r#""request_count":5,"policy":{"max_key_age_seconds":null,"disabled":true}"#
        );
        round_trips(&all, &json);

        // What ends or narrows a key is never skipped.
        for other in [
            r#""access":"full","expire_at":"2030-01-01T00:00:00Z""#,
            r#""access":"full","expires_at":"2030-01-01""#,
            r#""access":"full","expires_at":1893456000"#,
            r#""access":"full","networks":"""#,
            r#""access":"full","networks":[]"#,
            r#""access":"full","revoked":true"#,
            r#""access":"full","suspended":"yes""#,
            r#""access":[]"#,
            r#""name":"no access""#,
        ] {
            is_rejected::<KeyRecord>(&[&format!("{{{must},{other}}}")]);
        }
    }
}
