//! The broken stores, by what they do wrong.

mod access;
mod batch;
mod changes;
mod facts;
mod insert;
mod life;
mod list;
mod lookup;
mod organization;
mod outage;
mod policy;
mod regenerate;
mod revoke;
mod row;
mod update;
mod usage;

use crate::broken::Broken;

pub(crate) fn all() -> Vec<Broken> {
    let of_management = [
        list::all(),
        organization::all(),
        insert::all(),
        update::all(),
        revoke::all(),
        regenerate::all(),
        life::all(),
        policy::all(),
        usage::all(),
        changes::all(),
        outage::all(),
    ];
    of_lookups().into_iter().chain(of_management.into_iter().flatten()).collect()
}

/// Those that are already wrong when a key is looked up.
pub(crate) fn of_lookups() -> Vec<Broken> {
    [access::all(), facts::all(), lookup::all(), batch::all()].into_iter().flatten().collect()
}
