use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use tower_api_key::manage::ManageError;
use tower_api_key::store::PolicyUpdate;
use tower_api_key::{ApiKey, BoxError, OrganizationId};
use utoipa::ToSchema;

use crate::accounts::Accounts;
use crate::form::Form;
use crate::reply::{ApiError, in_time};
use crate::store::Keys;

/// How old the keys of an organization may be.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyPolicy {
    /// Null for any age.
    max_key_age_seconds: Option<u64>,
}

pub(crate) async fn read(key: ApiKey, keys: State<Keys>) -> Result<Json<KeyPolicy>, ApiError> {
    let policy = in_time(keys.organization_policy(key.organization())).await?;
    Ok(Json(KeyPolicy { max_key_age_seconds: policy.max_key_age().map(|age| age.as_secs()) }))
}

/// For the keys that the organization has, and for those it will have.
pub(crate) async fn set(key: ApiKey, keys: State<Keys>, request: Request) -> Result<Json<KeyPolicy>, ApiError> {
    let mut form = Form::read(request).await?;
    if !form.has(FIELD) {
        form.wrong(FIELD, "This field is required.");
    }
    let seconds = form.number(FIELD);
    if seconds == Some(0) {
        form.wrong(FIELD, "A key has to live for a second at least.");
    }
    form.check()?;

    let keys = keys.on_behalf_of(key.id().to_string());
    in_time(demand(&keys, key.organization(), seconds.map(Duration::from_secs))).await?;
    Ok(Json(KeyPolicy { max_key_age_seconds: seconds }))
}

const FIELD: &str = "max_key_age_seconds";

/// Demands of each organization what this server is started with, of those that signed up before as well. After a start
/// with the same demand as the last one, each organization keeps what it has set since.
pub(crate) async fn demand_of_all(
    keys: &Keys,
    accounts: &Accounts,
    max_key_age: Option<Duration>,
) -> Result<(), BoxError> {
    let seconds = max_key_age.map_or_else(String::new, |age| age.as_secs().to_string());
    if accounts.last_demand().await? == seconds {
        return Ok(());
    }
    for organization in accounts.organizations().await? {
        demand(keys, &OrganizationId::new(organization)?, max_key_age).await?;
    }
    accounts.keep_demand(&seconds).await?;
    Ok(())
}

/// That keys be no older than this. Writes nothing where that is demanded already.
pub(crate) async fn demand(
    keys: &Keys,
    organization: &OrganizationId,
    max_key_age: Option<Duration>,
) -> Result<(), ManageError> {
    let old = keys.organization_policy(organization).await?;
    if old.max_key_age() == max_key_age {
        return Ok(());
    }
    // An organization that is disabled meanwhile stays so.
    let update = PolicyUpdate::new().with_max_key_age(max_key_age);
    keys.update_organization_policy(organization, update).await.map(drop)
}
