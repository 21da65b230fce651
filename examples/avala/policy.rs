use std::time::Duration;

use tower_api_key::key::OrganizationPolicy;
use tower_api_key::manage::ManageError;
use tower_api_key::{BoxError, OrganizationId};

use crate::accounts::Accounts;
use crate::store::Keys;

/// Demands of each organization what this server was started with, of those that signed up before as well.
pub(crate) async fn demand_of_all(
    keys: &Keys,
    accounts: &Accounts,
    max_key_age: Option<Duration>,
) -> Result<(), BoxError> {
    for organization in accounts.organizations().await? {
        demand(keys, &OrganizationId::new(organization)?, max_key_age).await?;
    }
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
    let policy = OrganizationPolicy::default().with_disabled(old.is_disabled());
    let policy = max_key_age.map_or(policy, |age| policy.with_max_key_age(age));
    keys.set_organization_policy(organization, policy).await
}
