use std::fmt;
use std::str::FromStr;

/// The state of a key as lists show it. Revoked takes precedence over suspended, and suspended over
/// expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the documented states, and suspended")]
pub enum KeyStatus {
    /// Neither suspended, nor expired, nor revoked.
    Active,
    /// Rejected until it is resumed.
    Suspended,
    /// Past its expiry or the organization's maximum age. Regenerating the key restores access.
    Expired,
    /// Revoked or replaced, for good.
    Revoked,
}

impl KeyStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Active, Self::Suspended, Self::Expired, Self::Revoked];

    /// Returns `active`, `suspended`, `expired` or `revoked`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyStatus {
    type Err = InvalidKeyStatus;

    fn from_str(text: &str) -> Result<Self, InvalidKeyStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(InvalidKeyStatus)
    }
}

/// The text is not the status of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key status: expected \"active\", \"suspended\", \"expired\" or \"revoked\"")]
pub struct InvalidKeyStatus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_text_round_trips() {
        let texts = ["active", "suspended", "expired", "revoked"];
        for (status, text) in KeyStatus::ALL.into_iter().zip(texts) {
            assert_eq!((status.as_str(), &*status.to_string()), (text, text));
            assert_eq!(text.parse(), Ok(status));
        }
        for text in ["", "Active", "active ", "disabled"] {
            assert_eq!(text.parse::<KeyStatus>(), Err(InvalidKeyStatus), "{text}");
        }
    }
}
