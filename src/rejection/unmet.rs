use crate::scope::{Access, Requirement, Scope};

/// The requirement that a valid key does not meet, and what the key lacks.
#[derive(Clone, Debug)]
pub(crate) struct Unmet {
    requirement: Requirement,
    missing: Box<[Scope]>,
}

impl Unmet {
    pub(crate) fn new(requirement: &Requirement, access: &Access) -> Self {
        Self { requirement: requirement.clone(), missing: requirement.missing_scopes(access).cloned().collect() }
    }

    pub(crate) const fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    pub(crate) const fn missing(&self) -> &[Scope] {
        &self.missing
    }
}
