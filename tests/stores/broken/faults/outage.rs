//! Stores that make up an answer when they have none.

use std::future::ready;
use std::sync::Arc;

use tower_api_key::store::BackendError;

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "in an outage nothing is listed",
            |it| {
                it.on_list(|table, (organization, query)| {
                    ready(Ok(table.list(organization.as_ref(), &query).unwrap_or_default()))
                })
            },
            &["an_outage_is_no_empty_answer"],
        ),
        Broken::new(
            "in an outage no key is known",
            |it| {
                it.on_get(|table, (organization, id)| {
                    ready(table.get(&organization, id).map_err(|_| BackendError::NotFound))
                })
            },
            &["an_outage_is_no_empty_answer"],
        ),
        Broken::new(
            "in an outage there is no policy",
            |it| {
                it.on_organization_policy(|table, organization| {
                    ready(Ok(table.organization_policy(&organization).unwrap_or_default()))
                })
            },
            &["an_outage_is_no_empty_answer"],
        ),
        Broken::new(
            "in an outage a revoke is put off and reported as done",
            |it| {
                it.on_revoke(|table, (organization, id)| {
                    let revoked = table.revoke(&organization, id);
                    ready(if table.is_up().is_ok() { revoked } else { Ok(Arc::new(table.rows().remove(0))) })
                })
            },
            &["an_outage_fails_every_change"],
        ),
    ]
}
