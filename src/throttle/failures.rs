use http::{Request, StatusCode};

use super::SlidingWindow;
use crate::key::CredentialError;
use crate::rejection::Rejection;
use crate::transport::{Client, ClientNetwork, log_missing};

/// Counts the failed attempts of each client. It is asked after the verdict and about refusals alone, so that no
/// count ever stands in the way of a good key.
#[derive(Clone)]
pub(crate) struct FailedAttempts(SlidingWindow<ClientNetwork>);

impl FailedAttempts {
    pub(crate) fn new(window: SlidingWindow<ClientNetwork>) -> Self {
        Self(window)
    }

    /// What a refused client gets to hear: one failure too many is throttled.
    pub(crate) fn judge<B>(&self, rejection: Rejection, request: &Request<B>) -> Rejection {
        if !is_failed_attempt(rejection) {
            return rejection;
        }
        match request.extensions().get::<Client>() {
            Some(client) => self.0.hit(client.network()).rejection().unwrap_or(rejection),
            None => {
                log_missing("an ApiKeyLayer that throttles failures");
                Rejection::Misconfigured
            }
        }
    }
}

/// A credential was presented and did not pass. Who presents none attempts nothing.
fn is_failed_attempt(rejection: Rejection) -> bool {
    rejection.status() == StatusCode::UNAUTHORIZED && rejection != Rejection::Credential(CredentialError::Missing)
}
