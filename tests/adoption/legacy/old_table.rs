//! An old table whose verifier a test can watch, hold up and break.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyLimits, LegacyVerifier};
use tower_api_key::manage::ImportedKey;
use tower_api_key::store::KeyBackend;
use tower_api_key::{ApiKeyLayer, BoxError, KeyManager, NewKey, OrganizationId};

use crate::support::calls::{acme, full};

/// How the verifier fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Error,
    Panic,
    Hang,
    /// It returns a key that it was not asked about.
    OtherKey,
}

/// A clone is a handle to the same table.
#[derive(Clone)]
pub(super) struct OldTable(Arc<Inner>);

struct Inner {
    keys: Mutex<HashMap<String, NewKey>>,
    fault: Mutex<Fault>,
    limits: LegacyLimits,
    /// Each verification takes one, and keeps it.
    gate: Semaphore,
    takes: Duration,
    verifications: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

impl OldTable {
    pub(super) fn new(limits: LegacyLimits) -> Self {
        Self::slow(limits, Duration::ZERO)
    }

    /// A verification takes this long.
    pub(super) fn slow(limits: LegacyLimits, takes: Duration) -> Self {
        Self(Arc::new(Inner {
            keys: Mutex::default(),
            fault: Mutex::new(Fault::None),
            limits,
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            takes,
            verifications: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
        }))
    }

    /// Adds a key of the organization `acme` with full access.
    pub(super) fn add(&self, text: &str) {
        self.add_as(text, full());
    }

    pub(super) fn add_as(&self, text: &str, facts: NewKey) {
        self.0.keys.lock().unwrap().insert(text.to_owned(), facts);
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        *self.0.fault.lock().unwrap() = fault;
    }

    /// Holds up verifications that begin from now on, until [`open`](Self::open).
    pub(super) fn close(&self) {
        self.0.gate.forget_permits(usize::MAX);
    }

    pub(super) fn open(&self) {
        self.0.gate.add_permits(1_000_000);
    }

    pub(super) fn verifications(&self) -> usize {
        self.0.verifications.load(Ordering::Relaxed)
    }

    pub(super) fn most_running(&self) -> usize {
        self.0.most_running.load(Ordering::Relaxed)
    }

    /// A layer on this store that knows the keys of this table.
    pub(super) fn layer<S: KeyBackend + Clone>(&self, store: &S) -> ApiKeyLayer {
        ApiKeyLayer::new(store.clone()).legacy_keys(KeyManager::new(store.clone()), self.clone()).unwrap()
    }
}

/// A verification that runs until this is dropped.
struct Running<'a>(&'a Inner);

impl<'a> Running<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.verifications.fetch_add(1, Ordering::Relaxed);
        let running = inner.running.fetch_add(1, Ordering::Relaxed) + 1;
        inner.most_running.fetch_max(running, Ordering::Relaxed);
        Self(inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LegacyVerifier for OldTable {
    type Error = BoxError;

    fn formats(&self) -> Vec<LegacyFormat> {
        vec![LegacyFormat::separated('|')]
    }

    fn limits(&self) -> LegacyLimits {
        self.0.limits
    }

    async fn verify(&self, key: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, BoxError> {
        let _running = Running::begin(&self.0);
        self.0.gate.acquire().await?.forget();
        if !self.0.takes.is_zero() {
            tokio::time::sleep(self.0.takes).await;
        }
        let fault = *self.0.fault.lock().unwrap();
        let found = self.0.keys.lock().unwrap().get(key.expose_secret()).cloned();
        let import = |facts| match fault {
            Fault::OtherKey => LegacyKey::for_test("other|key", &self.formats()).unwrap().import(facts),
            _ => key.import(facts),
        };
        match fault {
            Fault::Error => Err("the old table is locked".into()),
            Fault::Panic => panic!("the verifier is broken"),
            Fault::Hang => std::future::pending().await,
            Fault::None | Fault::OtherKey => Ok(found.map(|facts| (acme().clone(), import(facts)))),
        }
    }
}
