use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;

use super::ManageError;
use crate::hooks::call_each;
use crate::key::{KeyId, KeyRecord, OrganizationId, OrganizationPolicy};
use crate::store::KeyUpdate;

/// A change that a [`KeyManager`](crate::KeyManager) was asked for, and its outcome.
#[derive(Clone, Copy, Debug)]
pub struct ChangeEvent<'a> {
    change: Change,
    outcome: ChangeOutcome<'a>,
    actor: Option<&'a str>,
    organization: Option<&'a OrganizationId>,
    key: Option<KeyId>,
    record: Option<&'a KeyRecord>,
    update: Option<&'a KeyUpdate>,
    policy: Option<OrganizationPolicy>,
    count: Option<usize>,
}

/// What was to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// A new key.
    Issued,
    /// A key that was issued elsewhere.
    Imported,
    /// The end of a key.
    Revoked,
    /// A new key in place of an old one.
    Regenerated,
    /// A change of a key that lives on.
    Updated,
    /// The policy of an organization.
    PolicyChanged,
    /// Keys that ended long ago were deleted.
    Purged,
    /// Everything about an organization was deleted.
    Erased,
}

/// What became of a change.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ChangeOutcome<'a> {
    /// It was made.
    Done,
    /// It was rejected, or the store failed. A store that failed may still have made the change.
    Failed(&'a ManageError),
    /// The caller stopped waiting. The change may have been made or not.
    Unknown,
}

impl<'a> ChangeEvent<'a> {
    /// Returns what was to be changed.
    #[must_use]
    pub const fn change(&self) -> Change {
        self.change
    }

    /// Returns what became of the change.
    #[must_use]
    pub const fn outcome(&self) -> ChangeOutcome<'a> {
        self.outcome
    }

    /// Returns the person or key that asked, if the manager was made [on behalf of](crate::KeyManager::on_behalf_of) one.
    #[must_use]
    pub const fn actor(&self) -> Option<&'a str> {
        self.actor
    }

    /// Returns the organization whose keys the change is about. `None` for a purge of all organizations, and for a leaked key
    /// that is unknown.
    #[must_use]
    pub const fn organization(&self) -> Option<&'a OrganizationId> {
        self.organization
    }

    /// Returns the key that the caller named: of a regenerated key, the old one. Otherwise the new one, once it is there.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key.or_else(|| self.record.map(KeyRecord::id))
    }

    /// Returns the key as it is after the change: of a regenerated key, the new one.
    #[must_use]
    pub const fn record(&self) -> Option<&'a KeyRecord> {
        self.record
    }

    /// Returns what was to be changed about the key, for [`Change::Updated`].
    #[must_use]
    pub const fn update(&self) -> Option<&'a KeyUpdate> {
        self.update
    }

    /// Returns how many keys were deleted, for [`Change::Purged`] and [`Change::Erased`].
    #[must_use]
    pub const fn count(&self) -> Option<usize> {
        self.count
    }

    /// Returns the new policy of the organization, for [`Change::PolicyChanged`].
    #[must_use]
    pub const fn policy(&self) -> Option<OrganizationPolicy> {
        self.policy
    }
}

impl Change {
    /// Returns a short word for logs and metrics, stable between releases.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Imported => "imported",
            Self::Revoked => "revoked",
            Self::Regenerated => "regenerated",
            Self::Updated => "updated",
            Self::PolicyChanged => "policy_changed",
            Self::Purged => "purged",
            Self::Erased => "erased",
        }
    }
}

impl ChangeOutcome<'_> {
    /// Returns a short word for logs and metrics, stable between releases: `done`, `rejected`, `failed` (the store, which may
    /// still have made the change) or `unknown`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(ManageError::Store(_)) => "failed",
            Self::Failed(_) => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

pub(super) type Hook = Arc<dyn Fn(&ChangeEvent<'_>) + Send + Sync>;

/// A change that a manager was asked for, and that is reported once: when it ends, or as unknown when it is dropped.
pub(super) struct Request<'a> {
    hooks: &'a [Hook],
    event: ChangeEvent<'a>,
}

impl<'a> Request<'a> {
    pub(super) const fn new(
        hooks: &'a [Hook],
        change: Change,
        organization: Option<&'a OrganizationId>,
        actor: Option<&'a str>,
    ) -> Self {
        let event = ChangeEvent {
            change,
            outcome: ChangeOutcome::Unknown,
            actor,
            organization,
            key: None,
            record: None,
            update: None,
            policy: None,
            count: None,
        };
        Self { hooks, event }
    }

    pub(super) const fn of_key(mut self, id: KeyId) -> Self {
        self.event.key = Some(id);
        self
    }

    pub(super) const fn with_update(mut self, update: &'a KeyUpdate) -> Self {
        self.event.update = Some(update);
        self
    }

    pub(super) const fn with_policy(mut self, policy: OrganizationPolicy) -> Self {
        self.event.policy = Some(policy);
        self
    }

    /// Awaits the change and reports it, with what `made` finds in what it returned.
    pub(super) async fn run<T>(
        mut self,
        change: impl Future<Output = Result<T, ManageError>> + Send,
        made: fn(&T) -> Made<'_>,
    ) -> Result<T, ManageError> {
        let result = change.await;
        self.report(result.as_ref().map(made));
        result
    }

    /// Reports what became of the change.
    pub(super) fn report(&mut self, result: Result<Made<'_>, &ManageError>) {
        let (outcome, Made { record, count }) = match result {
            Ok(made) => (ChangeOutcome::Done, made),
            Err(error) => (ChangeOutcome::Failed(error), Made::default()),
        };
        let event = ChangeEvent { outcome, record, count, ..self.event };
        if let Some(panic) = call_each(std::mem::take(&mut self.hooks), |hook| hook(&event)).into_iter().next() {
            resume_unwind(panic);
        }
    }
}

/// What a change has made.
#[derive(Default)]
pub(super) struct Made<'a> {
    pub(super) record: Option<&'a KeyRecord>,
    pub(super) count: Option<usize>,
}

impl<'a> Made<'a> {
    pub(super) const fn key(record: &'a KeyRecord) -> Self {
        Self { record: Some(record), count: None }
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        // This may run while a panic of the store unwinds, where a second panic would abort.
        for _ in call_each(self.hooks, |hook| hook(&self.event)) {
            tracing::error!("a change hook panicked on a change that was dropped by its caller");
        }
    }
}
