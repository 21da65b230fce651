//! Who is asking, and for which organizations.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use http::request::Parts;
use http::{Response, StatusCode};

use super::{Operator, origin};
use crate::ApiKey;
use crate::auth::reject_inside;
use crate::key::OrganizationId;
use crate::rejection::reason::Rejection;
use crate::rejection::{CredentialError, Responder};
use crate::request::RequestHead;
use crate::scope::Requirement;

/// Who may manage keys.
pub(super) struct Asker {
    /// `None` for all.
    pub(super) organization: Option<OrganizationId>,
    /// Whom the audit trail names.
    pub(super) actor: Arc<str>,
    /// Whether a browser may have sent the request on its own.
    pub(super) is_operator: bool,
}

impl Asker {
    /// Returns who is asking, or the response to a request that comes from no one who may.
    pub(super) fn of(request: &Parts, origins: &[HeaderValue]) -> Result<Self, Box<Response<Bytes>>> {
        let operator = request.extensions.get::<Operator>();
        if operator.is_some() && !origin::is_allowed(RequestHead::of_parts(request), origins) {
            return Err(Box::new(foreign()));
        }
        match (request.extensions.get::<ApiKey>(), operator) {
            (Some(key), operator) => {
                key.require(&Requirement::full_access(), request).map_err(|rejected| Box::new(rejected.respond()))?;
                let (organization, actor) = (key.organization().clone(), key.id().to_string().into());
                Ok(Self { organization: Some(organization), actor, is_operator: operator.is_some() })
            }
            (None, Some(operator)) => {
                let organization = operator.organization().cloned();
                Ok(Self { organization, actor: operator.shared_actor(), is_operator: true })
            }
            (None, None) => Err(Box::new(missing(request))),
        }
    }
}

fn missing(request: &Parts) -> Response<Bytes> {
    let (rejection, head) = (Rejection::from(CredentialError::Missing), RequestHead::of_parts(request));
    reject_inside(rejection, head).unwrap_or_else(|| Responder::documented().respond(rejection, head))
}

fn foreign() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(br#"{"detail":"This request comes from another site."}"#));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
