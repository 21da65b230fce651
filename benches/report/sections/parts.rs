//! What an accepted request cannot do without: the sum is the limit of any such layer.

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use http::Extensions;
use tower_api_key::KeyStore;
use tower_api_key::key::KeyDigest;

use crate::case::{Case, KEY, request};
use crate::figures::Group;
use crate::keys::{presented, record, store, text};

pub(crate) fn report() {
    let values = presented(1_000);
    let request = request(&KEY, values.first());
    let store = store(1_000, None);
    let (key, digest) = (text(1), KeyDigest::hash(text(1).as_bytes()));
    let found = Arc::new(record(1, &"acme".parse().expect("a name"), None));
    let parts = vec![
        Case::new("nothing", || {
            black_box(());
        }),
        Case::new("read a header", move || {
            black_box(request.headers().get(black_box(&KEY)));
        }),
        Case::new("SHA-256 of 44 bytes", move || {
            black_box(KeyDigest::hash(black_box(key.as_bytes())));
        }),
        Case::new("look up in memory, and drop what was found", move || {
            black_box(store.try_find(black_box(&digest)));
        }),
        Case::new("read the clock", || {
            black_box(SystemTime::now());
        }),
        Case::new("insert the first of the extensions, and drop them", move || {
            let mut extensions = Extensions::new();
            extensions.insert(Arc::clone(&found));
            black_box(&extensions);
        }),
    ];
    Group::measure("Parts", parts);
}
