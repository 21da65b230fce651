use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{COOKIE, HeaderValue};

use super::sessions::HEADER;

const NAME: &str = "mission_control_session";

/// Keeps a session in the browser, where no script can read it.
#[derive(Clone, Copy)]
pub(crate) struct SessionCookie {
    /// Whether it is sent over HTTPS alone.
    secure: bool,
}

impl SessionCookie {
    pub(crate) const fn new(secure: bool) -> Self {
        Self { secure }
    }

    pub(super) fn keep(self, session: &str, lifetime: Duration) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        let seconds = lifetime.as_secs();
        format!("{NAME}={session}; Path=/mission-control/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    pub(super) fn forget(self) -> String {
        self.keep("", Duration::ZERO)
    }
}

/// Puts the session where the key layer looks for it, whatever stood there. Two of them are one too many for that
/// layer, and are refused there.
pub(super) async fn present(mut request: Request) -> Request {
    let cookies = request.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let sessions: Vec<_> =
        pairs.filter(|(name, _)| *name == NAME).filter_map(|(_, value)| HeaderValue::from_str(value).ok()).collect();
    let headers = request.headers_mut();
    headers.remove(HEADER);
    headers.remove(COOKIE);
    for mut session in sessions {
        session.set_sensitive(true);
        headers.append(HEADER, session);
    }
    request
}
