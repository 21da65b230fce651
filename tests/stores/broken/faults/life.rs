//! Stores that lose what happens to a key between its issue and its end.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::yield_now;
use tower_api_key::client::AllowedNetworks;
use tower_api_key::key::{KeyRecord, KeyStatus, Metadata};
use tower_api_key::store::{BackendError, InsertRules, KeyCounts, ListKeys, NewRecord, Page, Replaced, Replacement};

use crate::broken::Broken;

pub(super) fn all() -> Vec<Broken> {
    [kept(), updated(), regenerated(), listed(), purged()].into_iter().flatten().collect()
}

fn kept() -> Vec<Broken> {
    vec![
        Broken::new(
            "there is no column for networks",
            |it| it.writes(|key| key.with_networks(AllowedNetworks::ANYWHERE)),
            &["keeps_networks", "update_never_extends"],
        ),
        Broken::new(
            "there is no column for metadata",
            |it| it.writes(|key| key.with_metadata(Metadata::empty())),
            &["keeps_metadata"],
        ),
        Broken::new(
            "there is no column for the environment",
            |it| it.writes(|key| key.with_environment(None)),
            &["keeps_environment_and_creator", "filters_by_every_field"],
        ),
        Broken::new(
            "there is no column for the creator",
            |it| it.writes(|key| key.with_created_by(None)),
            &["keeps_environment_and_creator", "filters_by_every_field"],
        ),
        Broken::new(
            "an imported key is as old as its import",
            |it| {
                it.on_insert(|table, (mut record, rules)| {
                    if let Some(facts) = &mut record.imported {
                        facts.created_at = None;
                    }
                    ready(table.insert(record, rules))
                })
            },
            &["an_import_keeps_what_happened"],
        ),
        Broken::new(
            "a key that was revoked elsewhere is imported as a live one",
            |it| it.writes(|key| if key.is_imported() { key.with_revoked_at(None) } else { key }),
            &["an_import_keeps_what_happened"],
        ),
        Broken::new(
            "an imported key is like any other",
            |it| it.writes(|key| key.with_imported(false)),
            &["an_import_keeps_what_happened", "a_purged_import_stays_revoked"],
        ),
        Broken::new(
            "many keys are stored up to the first that is rejected",
            |it| {
                it.on_insert_many(|table, (records, rules)| {
                    let mut stored = Vec::new();
                    for record in records {
                        stored.push(table.insert(record, rules));
                        if stored.iter().any(Result::is_err) {
                            break;
                        }
                    }
                    ready(Ok(stored))
                })
            },
            &["imports_many_in_one_step", "an_outage_fails_every_change"],
        ),
        Broken::new(
            "there is no most of active keys",
            |it| it.on_insert(|table, (record, _)| ready(table.insert(record, InsertRules::new()))),
            &["keeps_to_the_most_active_keys", "the_most_active_keys_hold_for_many_at_once"],
        ),
        Broken::new(
            "active keys are counted a moment before one is added",
            |it| {
                it.on_insert(|table, (record, rules)| async move {
                    let active = table.active(&record.organization);
                    rules.check_active(active, active + 1)?;
                    yield_now().await;
                    table.insert(record, InsertRules::new())
                })
            },
            &["the_most_active_keys_hold_for_many_at_once"],
        ),
    ]
}

fn updated() -> Vec<Broken> {
    vec![
        Broken::new(
            "an update leaves the metadata as it is",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    let before = table.get(&organization, id);
                    ready(table.update(&organization, id, &update).and_then(|_| {
                        let metadata = before?.metadata().clone();
                        table.change(&organization, id, |row| Ok(row.with_metadata(metadata)))
                    }))
                })
            },
            &["update_sets_every_field"],
        ),
        Broken::new(
            "an update that is not allowed is ignored",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    ready(match table.update(&organization, id, &update) {
                        Err(BackendError::WouldExtend | BackendError::ExpiryInPast) => table.get(&organization, id),
                        updated => updated,
                    })
                })
            },
            &["update_never_extends"],
        ),
        Broken::new(
            "a suspension is not written down",
            |it| {
                it.on_update(|table, (organization, id, update)| {
                    ready(table.update(&organization, id, &update).and_then(|updated| {
                        table.change(&organization, id, |row| Ok(row.with_suspended(false)))?;
                        Ok(updated)
                    }))
                })
            },
            &[
                "counts_by_status",
                "update_sets_every_field",
                "a_suspended_key_is_seen_at_once",
                "never_regenerates_an_old_or_suspended_key",
                "a_suspension_holds_against_an_overlap",
            ],
        ),
    ]
}

fn regenerated() -> Vec<Broken> {
    vec![
        Broken::new(
            "a new key may be used from anywhere",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let anywhere = |row: KeyRecord| Ok(row.with_networks(AllowedNetworks::ANYWHERE));
                    let new = table.replace(&organization, id, replacement, rules);
                    ready(new.and_then(|new| table.change(&organization, new.id(), anywhere)))
                })
            },
            &["regenerate_keeps_networks_and_metadata"],
        ),
        Broken::new(
            "an overlap never ends",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let overlaps = !replacement.overlap.is_zero();
                    let new = table.replace(&organization, id, replacement, rules);
                    if overlaps && new.is_ok() {
                        table.change(&organization, id, |row| Ok(row.with_expires_at(None))).unwrap();
                    }
                    ready(new)
                })
            },
            &["an_overlap_ends_by_itself"],
        ),
        Broken::new(
            "there is no overlap",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let replacement = Replacement { overlap: Duration::ZERO, ..replacement };
                    ready(table.replace(&organization, id, replacement, rules))
                })
            },
            &["keeps_to_the_most_active_keys", "an_overlap_ends_by_itself", "a_suspension_holds_against_an_overlap"],
        ),
        Broken::new(
            "the old key of an overlap can be regenerated again",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| {
                    let forget = |row: KeyRecord| Ok(if row.is_revoked() { row } else { row.with_replaced_by(None) });
                    ready(
                        table
                            .change(&organization, id, forget)
                            .and_then(|_| table.replace(&organization, id, replacement, rules)),
                    )
                })
            },
            &["never_regenerates_an_old_or_suspended_key"],
        ),
        Broken::new(
            "the old key of an overlap is written a moment after it was read",
            |it| {
                it.on_replace(|table, (organization, id, replacement, rules)| async move {
                    if replacement.overlap.is_zero() {
                        return table.replace(&organization, id, replacement, rules);
                    }
                    let before = table.get(&organization, id)?;
                    let Replaced { old, new } = replacement.apply(&before, table.now(), rules)?;
                    yield_now().await;
                    table.put(old);
                    Ok(table.put_another(new))
                })
            },
            &[
                "keeps_to_the_most_active_keys",
                "a_revoke_holds_against_an_overlap",
                "a_suspension_holds_against_an_overlap",
            ],
        ),
    ]
}

/// The query without the text.
fn without_search(query: &ListKeys) -> ListKeys {
    let mut other = ListKeys::new().with_limit(query.limit()).with_after(query.after());
    if let Some(status) = query.status() {
        other = other.with_status(status);
    }
    if let Some(environment) = query.environment() {
        other = other.with_environment(environment.clone());
    }
    if let Some(actor) = query.created_by() {
        other = other.with_created_by(actor);
    }
    query.expires_before().map_or(other.clone(), |time| other.with_expires_before(time))
}

fn listed() -> Vec<Broken> {
    vec![
        Broken::new(
            "a list knows no search",
            |it| {
                it.on_list(|table, (organization, query)| {
                    ready(table.list(organization.as_ref(), &without_search(&query)))
                })
            },
            &["filters_by_every_field"],
        ),
        Broken::new(
            "a list of all organizations is empty",
            |it| {
                it.on_list(|table, (organization, query)| {
                    ready(match organization {
                        Some(organization) => table.list(Some(&organization), &query),
                        None => Ok(Page::default()),
                    })
                })
            },
            &["lists_and_counts_all_organizations"],
        ),
        Broken::new(
            "a suspended key is counted as active",
            |it| {
                it.on_counts(|table, organization| {
                    let mut counts = KeyCounts::default();
                    for row in table.of(organization.as_ref()) {
                        let status = row.status(table.now());
                        counts.add(if status == KeyStatus::Suspended { KeyStatus::Active } else { status });
                    }
                    ready(table.is_up().map(|()| counts))
                })
            },
            &["counts_by_status"],
        ),
    ]
}

fn purged() -> Vec<Broken> {
    vec![
        Broken::new(
            "a purge deletes suspended keys",
            |it| {
                it.on_purge(|table, (organization, age, limit)| {
                    let latest = table.now() - age;
                    let rows = table.of(organization.as_ref());
                    let ended = rows.iter().filter(|row| {
                        row.is_suspended() || row.ended_at(table.now()).is_some_and(|ended| ended <= latest)
                    });
                    ready(table.is_up().map(|()| table.bury(ended.take(limit))))
                })
            },
            &["a_purge_deletes_what_has_ended"],
        ),
        Broken::new(
            "a purge deletes what has ended just now",
            |it| {
                it.on_purge(|table, (organization, _, limit)| {
                    ready(table.purge(organization.as_ref(), Duration::ZERO, limit))
                })
            },
            &["a_purge_deletes_what_has_ended"],
        ),
        Broken::new(
            "a purge of one organization deletes the keys of all",
            |it| it.on_purge(|table, (_, age, limit)| ready(table.purge(None, age, limit))),
            &["purges_one_organization_in_batches"],
        ),
        Broken::new(
            "a purge leaves no tombstone",
            |it| {
                it.on_purge(|table, (organization, age, limit)| {
                    for row in table.of(organization.as_ref()) {
                        table.put(KeyRecord::clone(&row).with_imported(false));
                    }
                    ready(table.purge(organization.as_ref(), age, limit))
                })
            },
            &["a_purged_import_stays_revoked"],
        ),
        Broken::new(
            "a purge leaves the usage of a key",
            |it| {
                let usage: Arc<Mutex<HashMap<_, _>>> = Arc::default();
                let left = Arc::clone(&usage);
                it.on_purge(move |table, (organization, age, limit)| {
                    for row in table.of(organization.as_ref()) {
                        usage.lock().unwrap().insert(row.id(), (row.last_used_at(), row.request_count()));
                    }
                    ready(table.purge(organization.as_ref(), age, limit))
                })
                .on_insert(move |table, (record, rules): (NewRecord, InsertRules)| {
                    let usage = left.lock().unwrap().get(&record.id).copied();
                    let organization = record.organization.clone();
                    let inserted = table.insert(record, rules);
                    ready(inserted.and_then(|row| match usage {
                        Some((last, count)) => {
                            table.change(&organization, row.id(), |row| Ok(row.with_usage(last, count)))
                        }
                        None => Ok(row),
                    }))
                })
            },
            &["a_purge_takes_usage_along"],
        ),
        Broken::new(
            "an erasure leaves the policy",
            |it| {
                it.on_erase(|table, (organization, limit)| {
                    let policy = table.organization_policy(&organization);
                    let erased = table.erase(&organization, limit);
                    ready(policy.and_then(|policy| {
                        table.set_organization_policy(&organization, policy)?;
                        erased
                    }))
                })
            },
            &["an_erasure_leaves_nothing"],
        ),
        Broken::new(
            "an erasure deletes revoked keys alone",
            |it| {
                it.on_erase(|table, (organization, limit)| {
                    ready(table.purge(Some(&organization), Duration::ZERO, limit))
                })
            },
            &["an_erasure_leaves_nothing"],
        ),
    ]
}
