use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Who signed up.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<HashMap<String, Account>>);

pub(crate) struct Account {
    pub(crate) user: User,
    #[expect(dead_code, reason = "logging in comes with Mission Control")]
    pub(crate) password_hash: String,
}

/// What a client sees of an account.
#[derive(Clone, Serialize)]
pub(crate) struct User {
    pub(crate) uid: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
}

impl Accounts {
    pub(crate) fn is_taken(&self, email: &str) -> bool {
        self.by_email().contains_key(&normal(email))
    }

    /// Adds an account, unless its email is taken.
    pub(crate) fn add(&self, account: Account) -> bool {
        match self.by_email().entry(normal(&account.user.email)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(account);
                true
            }
        }
    }

    pub(crate) fn remove(&self, email: &str) {
        self.by_email().remove(&normal(email));
    }

    fn by_email(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Mail servers that tell `Ada@` from `ada@` are rarer than people who write both.
fn normal(email: &str) -> String {
    email.to_lowercase()
}
