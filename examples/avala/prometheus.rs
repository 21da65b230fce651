//! What Prometheus reads: how many requests and changes there were, how they ended, and how long requests took.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tower_api_key::observe;

pub(crate) const PATH: &str = "/metrics";

/// In seconds: from what a key in memory takes to what a database may take before it is given up.
const BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// How often what was measured is put into its bucket between reads.
const UPKEEP: Duration = Duration::from_secs(5);

/// A listener apart from that of the API: a reader of the metrics needs no key, and no client of the
/// API learns it.
pub(crate) struct Prometheus {
    listener: TcpListener,
    counts: PrometheusHandle,
}

impl Prometheus {
    /// Counts from now on.
    pub(crate) async fn listen(address: SocketAddr) -> Result<Self, String> {
        let listener =
            TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
        let cannot_count = |error| format!("cannot count for --metrics-listen: {error}");
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).map_err(cannot_count)?;
        let counts = recorder.install_recorder().map_err(cannot_count)?;
        observe::metrics::describe();
        Ok(Self { listener, counts })
    }

    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped, also while the API serves its last requests.
    pub(crate) async fn serve(self) {
        let Self { listener, counts } = self;
        let read = counts.clone();
        let text = get(async move || ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], read.render()));
        let upkeep = async {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                counts.run_upkeep();
            }
        };
        tokio::select! {
            served = axum::serve(listener, Router::new().route(PATH, text)) => {
                tracing::error!("cannot serve the metrics any longer: {served:?}");
            }
            () = upkeep => {}
        }
    }
}
