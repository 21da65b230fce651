//! What a metrics layer has counted.
#![cfg(all(feature = "axum", feature = "metrics"))]

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

/// Sends these requests, and returns the labels and the value of each counter `responses`, sorted.
pub(super) fn responses(requests: impl Future<Output = ()>) -> Vec<String> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(requests));
    let mut counted = Vec::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
        if let ("responses", DebugValue::Counter(count)) = (key.key().name(), value) {
            counted.push(format!("{} {count}", labels.join(" ")));
        }
    }
    counted.sort();
    counted
}
