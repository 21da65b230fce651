use tower_api_key::{DecisionEvent, Outcome};

/// Who used what: one line for each request that came to the key layer.
pub(crate) fn record(event: &DecisionEvent<'_>) {
    let (key, organization) = match event.key() {
        Some(key) => (key.id().to_string(), key.organization().as_str()),
        None => ("-".to_owned(), "-"),
    };
    let outcome = match event.outcome() {
        Outcome::Accepted => "accepted",
        Outcome::Rejected(rejection) => rejection.code(),
        Outcome::Public => "public",
        Outcome::Cancelled => "cancelled",
        _ => "other",
    };
    let status = event.status().map_or("-".to_owned(), |status| status.as_u16().to_string());
    let (method, path) = (event.method(), printable(event.path()));
    if let Some(digest) = event.exposed() {
        log::warn!("a key came over plain HTTP, and whoever listened has it: digest={digest:?}");
    }
    log::info!("key={key} organization={organization} method={method} path={path} outcome={outcome} status={status}");
}

/// The client chose the path: no control character may reach the log, and no key that somebody pasted into a
/// URL where its uid belonged.
fn printable(path: &str) -> String {
    let shown = |segment: &str| {
        if segment.contains("avk_") { "[redacted]".to_owned() } else { segment.escape_default().to_string() }
    };
    path.split('/').map(shown).collect::<Vec<_>>().join("/")
}
