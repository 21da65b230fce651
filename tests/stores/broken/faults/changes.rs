//! Stores that publish fewer changes than they make.

use tokio::task::yield_now;
use tower_api_key::store::Invalidation;

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    vec![
        Broken::new(
            "no change is published",
            |it| it.publishes(|_| false),
            &["publishes_every_change_if_it_publishes", "publishes_a_dropped_change_if_it_publishes"],
        ),
        Broken::new(
            "a new key is not published",
            |it| it.publishes(|change| !matches!(change, Invalidation::Digest(_))),
            &["publishes_every_change_if_it_publishes"],
        ),
        Broken::new(
            "a policy is not published",
            |it| it.publishes(|change| !matches!(change, Invalidation::Organization(_))),
            &["publishes_every_change_if_it_publishes"],
        ),
        Broken::new(
            "a new key is published by its id, which no cache knows",
            |it| {
                it.publishes(|change| !matches!(change, Invalidation::Digest(_))).on_insert(
                    |table, (record, rules)| async move {
                        let stored = table.insert(record, rules)?;
                        table.publish(&Invalidation::Key(stored.id()));
                        Ok(stored)
                    },
                )
            },
            &["publishes_every_change_if_it_publishes"],
        ),
        Broken::new(
            "a revoke is published only if its caller waits for it",
            |it| {
                it.publishes(|_| true).on_revoke(|table, (organization, id)| async move {
                    let revoked = table.silent().revoke(&organization, id);
                    yield_now().await;
                    table.publish(&Invalidation::Key(id));
                    revoked
                })
            },
            &["publishes_a_dropped_change_if_it_publishes"],
        ),
    ]
}
