//! What two layers inside each other must do, from their configuration and what a client sends.

use tower_api_key::Rejection;
use tower_api_key::decision::Denial;
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::CredentialError;

/// A pair of layers and a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) same_store: bool,
    pub(super) same_header: bool,
    pub(super) formats: Formats,
    /// Otherwise every key has expired by the clock of the inner layer.
    pub(super) same_clock: bool,
    /// Whether the inner layer requires a scope that no key has.
    pub(super) scope: bool,
    pub(super) watched: Watched,
    /// Whether the outer and the inner layer accept anonymous requests.
    pub(super) anonymous: [bool; 2],
    pub(super) login: Login,
    pub(super) public: Public,
    pub(super) keep: bool,
    /// In the header of the outer layer.
    pub(super) sent: Sent,
    /// In a header that only an inner layer with another header reads.
    pub(super) sent_inside: Sent,
}

/// Which layers require a format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Formats {
    None,
    Inner,
    Both,
}

/// Which layers have a hook and a usage tracker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Watched {
    None,
    Outer,
    Inner,
    /// Both have the same hook and tracker.
    Same,
    /// Each has a hook and a tracker of its own.
    Each,
}

/// Which layers accept the identity that the request carries. It may do what a key may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Login {
    None,
    Outer,
    Inner,
    Both,
}

/// For which layer the route is public.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Public {
    None,
    Outer,
    Inner,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sent {
    Nothing,
    /// A valid key that has no known format.
    Plain,
    /// A valid key in the required format.
    Formatted,
    /// A key in the required format that was never issued.
    Unknown,
}

/// What a client and the hooks and trackers of the outer and of the inner layer see.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) events: [Vec<(Outcome, Option<u16>)>; 2],
    pub(super) uses: [u64; 2],
}

/// Decides whether the inner layer takes over the record that the outer one has found.
pub(super) type Rule = fn(&Case) -> bool;

pub(super) const SAME_RECORD: Rule = |case| case.same_store && case.same_header && case.formats != Formats::Inner;

/// The rule that findings S3 describes.
pub(super) const SAME_STORE: Rule = |case| case.same_store;

#[derive(Clone, Copy)]
enum Passed {
    With(Sent),
    Identified,
    Without(Outcome),
}

impl Case {
    pub(super) fn expected(&self, skips: Rule) -> Seen {
        let outer = self.outer();
        let authenticated = outer.and_then(|outer| self.authenticated(outer, skips));
        let inner = authenticated.and_then(|passed| self.authorized(passed));
        let status = inner.map_or_else(|rejection| rejection.status().as_u16(), |_| 200);
        let event = |passed: Result<Passed, Rejection>| {
            let outcome = match passed {
                Ok(Passed::With(_) | Passed::Identified) => Outcome::Accepted,
                Ok(Passed::Without(outcome)) => outcome,
                Err(rejection) => Outcome::Rejected(rejection),
            };
            vec![(outcome, Some(status))]
        };
        let mut seen = Seen { status, ..Seen::default() };
        let used = |passed: Result<Passed, Rejection>| match passed {
            Ok(Passed::With(key)) => Some(key),
            _ => None,
        };
        let (outer_use, inner_use) = (used(outer), used(authenticated));
        let outer_event = event(inner.and(outer));
        let inner_event = if outer.is_ok() { event(inner) } else { Vec::new() };
        let (outside, inside) = match self.watched {
            Watched::None => (false, false),
            Watched::Outer | Watched::Same => (true, false),
            Watched::Inner => (false, true),
            Watched::Each => (true, true),
        };
        if outside {
            seen.events[0] = outer_event;
            seen.uses[0] = u64::from(outer_use.is_some());
        }
        if inside {
            seen.events[1] = inner_event;
            seen.uses[1] = u64::from(inner_use.is_some());
        }
        // One tracker counts the use of each key once.
        if self.watched == Watched::Same && inner_use.is_some() && inner_use != outer_use {
            seen.uses[0] += 1;
        }
        seen
    }

    fn outer(&self) -> Result<Passed, Rejection> {
        if self.public == Public::Outer {
            return Ok(Passed::Without(Outcome::Public));
        }
        match self.sent {
            Sent::Nothing if matches!(self.login, Login::Outer | Login::Both) => Ok(Passed::Identified),
            Sent::Nothing if self.anonymous[0] => Ok(Passed::Without(Outcome::Anonymous)),
            Sent::Nothing => Err(CredentialError::Missing.into()),
            Sent::Plain if self.formats == Formats::Both => Err(CredentialError::Malformed.into()),
            Sent::Unknown => Err(Denial::Unknown.into()),
            key => Ok(Passed::With(key)),
        }
    }

    /// What the inner layer makes of the credential. The use of a valid key counts, whether it is authorized or not.
    fn authenticated(&self, outer: Passed, skips: Rule) -> Result<Passed, Rejection> {
        if self.public == Public::Inner {
            return Ok(Passed::Without(Outcome::Public));
        }
        let passed = match outer {
            Passed::With(key) if skips(self) => Passed::With(key),
            _ => self.read_inside()?,
        };
        match passed {
            Passed::With(_) if !self.same_clock => Err(Denial::Expired.into()),
            passed => Ok(passed),
        }
    }

    fn authorized(&self, passed: Passed) -> Result<Passed, Rejection> {
        match passed {
            Passed::With(_) | Passed::Identified if self.scope => Err(Denial::InsufficientScope.into()),
            passed => Ok(passed),
        }
    }

    /// The inner layer's own check.
    fn read_inside(&self) -> Result<Passed, Rejection> {
        let removed = self.same_header && !self.keep;
        let read = match self.same_header {
            true if removed => Sent::Nothing,
            true => self.sent,
            false => self.sent_inside,
        };
        match read {
            Sent::Nothing if removed && self.sent != Sent::Nothing => Err(Rejection::Misconfigured),
            Sent::Nothing if matches!(self.login, Login::Inner | Login::Both) => Ok(Passed::Identified),
            Sent::Nothing if self.anonymous[1] && !self.scope => Ok(Passed::Without(Outcome::Anonymous)),
            Sent::Nothing => Err(CredentialError::Missing.into()),
            Sent::Plain if self.formats != Formats::None => Err(CredentialError::Malformed.into()),
            Sent::Unknown => Err(Denial::Unknown.into()),
            key => Ok(Passed::With(key)),
        }
    }
}
