//! The broken stores, by what they do wrong.

mod access;
mod facts;
mod insert;
mod list;
mod lookup;
mod narrow;
mod organization;
mod outage;
mod policy;
mod regenerate;
mod revoke;
mod row;
mod usage;

use crate::broken::Broken;

pub(crate) fn all() -> Vec<Broken> {
    let of_management = [
        list::all(),
        organization::all(),
        insert::all(),
        narrow::all(),
        revoke::all(),
        regenerate::all(),
        policy::all(),
        usage::all(),
        outage::all(),
    ];
    of_lookups().into_iter().chain(of_management.into_iter().flatten()).collect()
}

/// Those that already say something wrong when a key is looked up.
pub(crate) fn of_lookups() -> Vec<Broken> {
    [access::all(), facts::all(), lookup::all()].into_iter().flatten().collect()
}
