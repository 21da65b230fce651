//! A signed token instead of a key in a store: HS256 of jsonwebtoken. It cannot be revoked.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::READ;
use crate::keys;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    scope: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Verifier(Arc<(DecodingKey, Validation)>);

impl Verifier {
    pub(crate) fn new() -> Self {
        Self(Arc::new((DecodingKey::from_secret(SECRET), Validation::new(Algorithm::HS256))))
    }
}

pub(crate) fn presented() -> Arc<[HeaderValue]> {
    let exp = keys::tomorrow().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = Claims { sub: keys::name(1), exp, scope: [READ, "projects.read"].map(str::to_owned).into() };
    let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
    [keys::value(format!("Bearer {token}"))].into()
}

/// For `from_fn_with_state` of axum.
pub(crate) async fn middleware(State(verifier): State<Verifier>, mut request: Request, next: Next) -> Response {
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = token else { return StatusCode::UNAUTHORIZED.into_response() };
    let (key, validation) = &*verifier.0;
    match jsonwebtoken::decode::<Claims>(token, key, validation) {
        Ok(token) if token.claims.scope.iter().any(|scope| scope == READ) => {
            request.extensions_mut().insert(Arc::new(token.claims));
            next.run(request).await
        }
        Ok(_) => StatusCode::FORBIDDEN.into_response(),
        Err(_) => StatusCode::UNAUTHORIZED.into_response(),
    }
}
