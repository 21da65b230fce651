//! What a layer must do with a request, from its configuration and from what the client and an outer authenticator sent.

use tower_api_key::Rejection;
use tower_api_key::decision::Denial;
use tower_api_key::observe::Outcome;
use tower_api_key::rejection::CredentialError;

/// A layer and a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) sent: Sent,
    /// `None` for a request without a login.
    pub(super) identity: Option<May>,
    /// Whether the layer accepts identities.
    pub(super) accepts: bool,
    /// Whether the layer accepts anonymous requests.
    pub(super) anonymous: bool,
    pub(super) required: Required,
    pub(super) route: Route,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sent {
    Nothing,
    Blank,
    Key(May),
    Revoked,
    Expired,
    Unknown,
    Malformed,
    Twice,
    /// A bearer token that begins as no key does.
    ForeignBearer,
    /// A key in its header and such a bearer token.
    KeyAndForeignBearer(May),
}

/// What a key or an identity may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum May {
    Nothing,
    Read,
    Write,
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Required {
    AnyKey,
    Read,
    ReadOrWrite,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    /// No table: the layer itself has the requirement.
    NoTable,
    /// The requirement is computed from the request.
    Function,
    /// The table has the requirement.
    Listed,
    /// A `RequireScopesLayer` inside the layer has the requirement.
    Inner,
    Public,
    Preflight,
    /// Not in a table that denies the rest.
    Denied,
    /// Not in a table that requires full access for the rest.
    UnlistedFull,
}

/// Who the handler sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Key,
    Identity,
    NoCaller,
    /// The handler is not called.
    Nothing,
}

impl Case {
    /// Returns the outcome of the event, and who the handler sees.
    pub(super) fn expected(&self) -> (Outcome, Seen) {
        match self.decide() {
            Ok(accepted) => accepted,
            Err(rejection) => (Outcome::Rejected(rejection), Seen::Nothing),
        }
    }

    fn decide(&self) -> Result<(Outcome, Seen), Rejection> {
        match self.route {
            Route::Public => return Ok((Outcome::Public, Seen::NoCaller)),
            // No CORS layer answers it.
            Route::Preflight => return Err(CredentialError::Missing.into()),
            _ => {}
        }
        match self.sent {
            Sent::Key(may) | Sent::KeyAndForeignBearer(may) => {
                self.authorize(may)?;
                Ok((Outcome::Accepted, Seen::Key))
            }
            Sent::Revoked => Err(Denial::Revoked.into()),
            Sent::Expired => Err(Denial::Expired.into()),
            Sent::Unknown => Err(Denial::Unknown.into()),
            Sent::Malformed => Err(CredentialError::Malformed.into()),
            Sent::Twice => Err(CredentialError::Repeated.into()),
            Sent::Nothing | Sent::Blank | Sent::ForeignBearer => self.without_key(),
        }
    }

    fn without_key(&self) -> Result<(Outcome, Seen), Rejection> {
        if let Some(may) = self.identity.filter(|_| self.accepts) {
            self.authorize(may)?;
            return Ok((Outcome::Accepted, Seen::Identity));
        }
        // What an anonymous request may do, a key without scopes may do too. An inner layer requires a key.
        if self.anonymous && self.authorize(May::Nothing).is_ok() && self.route != Route::Inner {
            return Ok((Outcome::Anonymous, Seen::NoCaller));
        }
        Err(CredentialError::Missing.into())
    }

    fn authorize(&self, may: May) -> Result<(), Rejection> {
        let required = match self.route {
            Route::Denied => return Err(Rejection::NotFound),
            Route::UnlistedFull => Required::Full,
            _ => self.required,
        };
        let allowed = match (required, may) {
            (Required::AnyKey, _) | (_, May::Everything) => true,
            (Required::Full, _) | (_, May::Nothing) => false,
            (Required::Read, may) => may == May::Read,
            (Required::ReadOrWrite, may) => matches!(may, May::Read | May::Write),
        };
        if allowed { Ok(()) } else { Err(Denial::InsufficientScope.into()) }
    }
}
