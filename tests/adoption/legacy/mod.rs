//! Keys of an old table, which are verified once and imported.

mod bounds;
#[path = "../../../examples/legacy_keys"]
mod examples {
    pub(super) mod bcrypt;
    pub(super) mod better_auth;
    pub(super) mod django;
    pub(super) mod keyshield;
    pub(super) mod sanctum;
    mod table;
}
mod faults;
mod flood;
mod life;
mod old_table;
mod originals;
