use crate::sync::OnceBox;
use crate::time::Timestamp;
use crate::usage::Unreported;

/// How a key was used: one pointer, which is null until it was. A request that is counted fills it once.
#[derive(Default)]
pub(super) struct Used(OnceBox<Usage>);

#[derive(Default)]
struct Usage {
    last: Option<Timestamp>,
    requests: u64,
    /// What this process has seen of it and not yet told the store.
    unreported: Unreported,
}

impl Used {
    /// As the store has it.
    pub(super) fn new(last: Option<Timestamp>, requests: u64) -> Self {
        if last.is_none() && requests == 0 {
            return Self::default();
        }
        let usage = Usage { last, requests, unreported: Unreported::default() };
        Self(OnceBox::with_value(Box::new(usage)))
    }

    pub(super) fn last(&self) -> Option<Timestamp> {
        self.0.get().and_then(|usage| usage.last)
    }

    pub(super) fn requests(&self) -> u64 {
        self.0.get().map_or(0, |usage| usage.requests)
    }

    pub(super) fn unreported(&self) -> &Unreported {
        &self.0.get_or_init(Box::default).unreported
    }
}

/// A copy of a record has seen nothing yet.
impl Clone for Used {
    fn clone(&self) -> Self {
        Self::new(self.last(), self.requests())
    }
}

/// Two records with the same facts are the same record, whatever this process has seen of either.
impl PartialEq for Used {
    fn eq(&self, other: &Self) -> bool {
        (self.last(), self.requests()) == (other.last(), other.requests())
    }
}

impl Eq for Used {}
