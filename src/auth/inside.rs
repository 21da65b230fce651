//! Rejections by the layers and handlers around an [`ApiKeyLayer`](crate::ApiKeyLayer), in its form.

use bytes::Bytes;
use http::Response;

use super::identity::ApiKey;
use super::keyless::Keyless;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

/// Rejects a request that an outer [`ApiKeyLayer`](crate::ApiKeyLayer) has accepted, in the form of that layer. `None`
/// where there is no such layer.
pub(crate) fn reject_inside(rejection: Rejection, request: RequestHead<'_>) -> Option<Response<Bytes>> {
    let extensions = request.extensions();
    if let Some(key) = extensions.get::<ApiKey>() {
        return Some(key.reject(rejection, request).respond());
    }
    extensions.get::<Keyless>().map(|keyless| keyless.reject(rejection, request))
}
