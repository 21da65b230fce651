use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use zeroize::Zeroizing;

/// Each hash takes 19 MiB of memory, which is what makes guessing expensive; so only this many are made at a
/// time, however many people sign up.
const HASHES_AT_A_TIME: usize = 4;

/// Who signed up.
pub(crate) struct Accounts {
    by_email: Mutex<HashMap<String, Account>>,
    hashes: Arc<Semaphore>,
}

pub(crate) struct Account {
    pub(crate) user: User,
    /// In the PHC string format: algorithm, parameters, salt and hash.
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

    /// Argon2id with a random salt.
    pub(crate) async fn hash(&self, password: Zeroizing<String>) -> Result<String, HashError> {
        let turn = Arc::clone(&self.hashes).acquire_owned().await;
        let hash = move || {
            // Held until the hash is made, also when the client has gone away in the meantime.
            let _turn = turn;
            Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
        };
        Ok(tokio::task::spawn_blocking(hash).await??)
    }

    fn by_email(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.by_email.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self { by_email: Mutex::default(), hashes: Arc::new(Semaphore::new(HASHES_AT_A_TIME)) }
    }
}

/// Mail servers that tell `Ada@` from `ada@` are rarer than people who write both.
fn normal(email: &str) -> String {
    email.to_lowercase()
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error("a password could not be hashed: {0}")]
    Argon2(#[from] argon2::password_hash::Error),
    #[error("a password could not be hashed: {0}")]
    Thread(#[from] JoinError),
}
