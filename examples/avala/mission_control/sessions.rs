use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tower_api_key::OrganizationId;
use tower_api_key::console::Operator;
use tower_api_key::key::{KeyDigest, KeyFormat, KeySecret, RandomError};
use tower_api_key::time::Clock;

const COOKIE_NAME: &str = "mission_control";

/// A further login ends the oldest one of its account.
const MOST_OF_ONE: usize = 8;
/// Beyond this, it ends the oldest one of the account that has the most.
const MOST: usize = 1000;

/// Who is logged in. Of a session, as of a key, only the digest is kept. All are gone with the process.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Shared>);

struct Shared {
    lifetime: Duration,
    clock: Box<dyn Clock>,
    /// The oldest first, and so in the order in which they end.
    open: Mutex<VecDeque<Session>>,
}

/// A login of one person.
#[derive(Clone)]
pub(crate) struct Session {
    digest: KeyDigest,
    pub(super) organization: OrganizationId,
    pub(super) email: Arc<str>,
    pub(super) expires_at: SystemTime,
}

impl Sessions {
    pub(crate) fn new(lifetime: Duration, clock: impl Clock) -> Self {
        Self(Arc::new(Shared { lifetime, clock: Box::new(clock), open: Mutex::default() }))
    }

    pub(super) fn open(&self, organization: OrganizationId, email: &str) -> Result<(KeySecret, Session), RandomError> {
        let (secret, now) = (format().generate()?, self.0.clock.now());
        let expires_at = now + self.0.lifetime;
        let session = Session { digest: secret.digest(), organization, email: email.into(), expires_at };

        let mut open = self.lock();
        open.retain(|session| session.expires_at > now);
        let of_one = |other: &Session| other.organization == session.organization;
        if open.iter().filter(|session| of_one(session)).count() >= MOST_OF_ONE
            && let Some(oldest) = open.iter().position(of_one)
        {
            open.remove(oldest);
        }
        if open.len() >= MOST {
            make_room(&mut open);
        }
        open.push_back(session.clone());
        Ok((secret, session))
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    pub(super) fn find(&self, token: &[u8]) -> Option<Session> {
        let (digest, now) = (KeyDigest::hash(token), self.0.clock.now());
        self.lock().iter().find(|session| session.digest == digest && session.expires_at > now).cloned()
    }

    pub(super) fn end(&self, ended: &Session) {
        self.lock().retain(|session| session.digest != ended.digest);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Session>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the oldest session of the account that has the most, so that no one can end those of others by logging in often.
fn make_room(open: &mut VecDeque<Session>) {
    let mut counts = HashMap::new();
    open.iter().for_each(|session| *counts.entry(&session.organization).or_insert(0) += 1);
    let most = counts.values().max();
    let oldest = open.iter().position(|session| counts.get(&session.organization) == most);
    if let Some(oldest) = oldest {
        open.remove(oldest);
    }
}

/// Puts the session of a request into its extensions, and the operator that the console asks for.
pub(crate) async fn identify(State(sessions): State<Sessions>, mut request: Request, next: Next) -> Response {
    if let Some(session) = token(request.headers()).and_then(|token| sessions.find(token.as_bytes())) {
        request.extensions_mut().insert(Operator::new(session.organization.clone(), Arc::clone(&session.email)));
        request.extensions_mut().insert(session);
    }
    next.run(request).await
}

/// The cookie, of which there may be one.
fn token(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = pairs.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut tokens = pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, token)| token);
    tokens.next().filter(|_| tokens.next().is_none())
}

/// A cookie that no script can read and no other site can use. Without a token, it ends the one that there is.
pub(super) fn cookie(token: Option<&str>, lifetime: Duration, https: bool) -> HeaderValue {
    let age = token.map_or(0, |_| lifetime.as_secs());
    let (token, secure) = (token.unwrap_or_default(), if https { "; Secure" } else { "" });
    let cookie = format!("{COOKIE_NAME}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    let mut cookie = HeaderValue::try_from(cookie).expect("letters and digits");
    cookie.set_sensitive(true);
    cookie
}

/// Not that of a key, so that neither passes for the other.
fn format() -> KeyFormat {
    KeyFormat::new("mcs_").expect("letters and an underscore")
}
