use std::fmt;
use std::str::FromStr;

/// The state of a key as lists show it. Revoked takes precedence over expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the three states of the documented model")]
pub enum KeyStatus {
    /// Neither expired nor revoked.
    Active,
    /// Past its expiry or the organization's maximum age. Regenerating the key restores access.
    Expired,
    /// Revoked or replaced, for good.
    Revoked,
}

impl KeyStatus {
    /// Returns `active`, `expired` or `revoked`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
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
        let all = [Self::Active, Self::Expired, Self::Revoked];
        all.into_iter().find(|status| status.as_str() == text).ok_or(InvalidKeyStatus)
    }
}

/// The text is not the status of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key status: expected \"active\", \"expired\" or \"revoked\"")]
pub struct InvalidKeyStatus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_text_round_trips() {
        for (status, text) in
            [(KeyStatus::Active, "active"), (KeyStatus::Expired, "expired"), (KeyStatus::Revoked, "revoked")]
        {
            assert_eq!((status.as_str(), &*status.to_string()), (text, text));
            assert_eq!(text.parse(), Ok(status));
        }
        for text in ["", "Active", "active ", "disabled"] {
            assert_eq!(text.parse::<KeyStatus>(), Err(InvalidKeyStatus), "{text}");
        }
    }
}
