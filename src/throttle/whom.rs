use std::sync::Arc;

use super::Subject;
use crate::auth::LimitCaller;
use crate::client::{ClientInfo, ClientNetwork, log_missing};
use crate::request::RequestHead;

/// Whom a rule counts a request by.
#[derive(Clone)]
pub(super) enum Whom {
    Key,
    Organization,
    Client,
    /// What this function returns.
    Function(Arc<SubjectFn>),
}

pub(super) type SubjectFn = dyn Fn(RequestHead<'_>, LimitCaller<'_>) -> Option<Subject> + Send + Sync;

/// By whom a request is counted.
pub(super) enum Counts {
    By(Subject),
    /// The request has no limit.
    Unlimited,
    /// The request has nothing to count it by. The log names the mistake.
    Misconfigured,
}

impl Whom {
    pub(super) fn of(&self, request: RequestHead<'_>, caller: LimitCaller<'_>) -> Counts {
        match (self, caller) {
            (Self::Key, LimitCaller::Key(key)) => Counts::By(Subject::key(key.id())),
            (Self::Organization, LimitCaller::Key(key)) => Counts::By(Subject::organization(key.organization())),
            (Self::Key, LimitCaller::Identity(identity)) => Counts::By(Subject::identity(identity)),
            (Self::Organization, LimitCaller::Identity(identity)) => {
                Counts::By(Subject::identities(identity.organization()))
            }
            (Self::Key | Self::Organization, caller) => without_key(request, caller),
            (Self::Client, _) => of_client(request),
            (Self::Function(subject), caller) => subject(request, caller).map_or(Counts::Unlimited, Counts::By),
        }
    }
}

/// Anonymous requests count by client, or all together where no client is known.
#[cold]
fn without_key(request: RequestHead<'_>, caller: LimitCaller<'_>) -> Counts {
    if matches!(caller, LimitCaller::Anonymous) {
        let client = request.extensions().get::<ClientInfo>();
        return Counts::By(Subject::anonymous(client.map_or(ClientNetwork::UNKNOWN, ClientInfo::network)));
    }
    tracing::error!(
        "a LimitRule that counts by key got a request without an API key: no ApiKeyLayer is outside it (in an axum Router, \
         the layer that is added last runs first); answering 500"
    );
    Counts::Misconfigured
}

fn of_client(request: RequestHead<'_>) -> Counts {
    match request.extensions().get::<ClientInfo>() {
        Some(client) => Counts::By(Subject::client(client.network())),
        None => {
            log_missing("a LimitRule that counts by client");
            Counts::Misconfigured
        }
    }
}
