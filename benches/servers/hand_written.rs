//! The middleware that people write: one lookup in a map, or one query for each request through the default pool.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use tower_api_key::BoxError;

use crate::keys;
use crate::peers::careful;
use crate::routers::bare;

const SELECT: &str = "SELECT id, organization, name, scopes, expires_at, revoked_at FROM api_keys WHERE digest = $1";

/// What handlers see of the key.
#[derive(Clone)]
#[expect(dead_code, reason = "no handler reads it here")]
struct CurrentKey {
    id: String,
    organization: String,
    name: String,
    scopes: Vec<String>,
}

type Row = (String, String, String, String, Option<i64>, Option<i64>);

macro_rules! middleware {
    ($name:ident, $pool:ty) => {
        async fn $name(State(pool): State<$pool>, mut request: Request, next: Next) -> Result<Response, StatusCode> {
            let key = request.headers().get("x-avala-api-key").and_then(|value| value.to_str().ok());
            let digest = Sha256::digest(key.ok_or(StatusCode::UNAUTHORIZED)?).to_vec();
            let row: Option<Row> = sqlx::query_as(SELECT)
                .bind(digest)
                .fetch_optional(&pool)
                .await
                .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
            let (id, organization, name, scopes, expires_at, revoked_at) = row.ok_or(StatusCode::UNAUTHORIZED)?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
            if revoked_at.is_some() || expires_at.is_some_and(|expires_at| expires_at <= now) {
                return Err(StatusCode::UNAUTHORIZED);
            }
            let scopes: Vec<String> = scopes.split(' ').map(str::to_owned).collect();
            if !scopes.iter().any(|scope| scope == "datasets.read") {
                return Err(StatusCode::FORBIDDEN);
            }
            request.extensions_mut().insert(CurrentKey { id, organization, name, scopes });
            Ok(next.run(request).await)
        }
    };
}

middleware!(on_sqlite, SqlitePool);
middleware!(on_postgres, PgPool);

/// Its records are shared, and its digests are bytes.
pub(crate) fn map() -> Router {
    bare().layer(from_fn_with_state((careful::store(keys::STORED), "datasets.read"), careful::middleware))
}

pub(crate) async fn sqlite(url: &str) -> Result<Router, BoxError> {
    let options = url.parse::<SqliteConnectOptions>()?.journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await?;
    Ok(bare().layer(from_fn_with_state(pool, on_sqlite)))
}

pub(crate) async fn postgres(url: &str) -> Result<Router, BoxError> {
    let pool = PgPool::connect(url).await?;
    Ok(bare().layer(from_fn_with_state(pool, on_postgres)))
}
