use tower_api_key::OrganizationId;
use tower_api_key::key::KeyRecord;
use tower_api_key::manage::{ChangeEvent, ChangeOutcome};
use tower_api_key::observe::{self, DecisionEvent};

/// Who used what: one line for each request that came to the key layer.
pub(crate) fn record(event: &DecisionEvent<'_>) {
    observe::metrics::record_decision(event);
    let (key, organization) = match (event.key(), event.identity()) {
        (Some(key), _) => (key.id().to_string(), key.organization().as_str()),
        (None, Some(login)) => ("login".to_owned(), login.organization().as_str()),
        (None, None) => ("-".to_owned(), "-"),
    };
    let outcome = event.outcome().code();
    let status = event.status().map_or("-".to_owned(), |status| status.as_u16().to_string());
    let (method, path) = (event.method(), printable(event.path()));
    if let Some(digest) = event.exposed() {
        tracing::warn!("a key came over plain HTTP, treat it as compromised: digest={digest:?}");
    }
    tracing::info!(
        "key={key} organization={organization} method={method} path={path} outcome={outcome} status={status}"
    );
}

/// Who changed what: one line for each change that was asked of a key or of an organization's policy. It holds ids and
/// words of this server alone, nothing that a client wrote.
pub(crate) fn record_change(event: &ChangeEvent<'_>) {
    observe::metrics::record_change(event);
    let key = event.key().map_or("-".to_owned(), |id| id.to_string());
    let new = event.record().map(KeyRecord::id).filter(|new| event.key() != Some(*new));
    let new = new.map(|id| format!(" new={id}")).unwrap_or_default();
    let age = |age: std::time::Duration| format!("{}s", age.as_secs());
    let policy = event.policy().map(|policy| policy.max_key_age().map_or("none".to_owned(), age));
    let policy = policy.map(|age| format!(" max_key_age={age}")).unwrap_or_default();
    let fields = event.update().map(|update| format!(" fields={}", update.fields().join(","))).unwrap_or_default();
    let line = format!(
        "change={} key={key}{new} organization={}{policy}{fields} by={} outcome={}",
        event.change().code(),
        event.organization().map_or("-", OrganizationId::as_str),
        // The client chose the address, which could be a key in the wrong place.
        event.actor().map_or("-", |actor| if actor.contains('@') { "signup" } else { actor }),
        event.outcome().code()
    );
    match event.outcome() {
        ChangeOutcome::Done => tracing::info!("{line}"),
        _ => tracing::warn!("{line}"),
    }
}

/// The client chose the path: no control character may reach the log, and no key or session that was pasted into a URL in
/// place of a uid, in whatever encoding.
fn printable(path: &str) -> String {
    let shown = |segment: &str| {
        if may_be_secret(segment) { "[redacted]".to_owned() } else { segment.escape_default().to_string() }
    };
    path.split('/').map(shown).collect::<Vec<_>>().join("/")
}

/// Whether this has the beginning of a key or a session, or is as long as one in hexadecimal digits or base64.
fn may_be_secret(segment: &str) -> bool {
    const SHORTEST: usize = 40;
    const MOST_ROUNDS: usize = 4;
    let (mut text, mut rounds) = (segment.to_owned(), 0);
    // Encoded again and again, if it was. A long path could be encoded so often that it takes seconds to decode.
    while let Some(decoded) = percent_decoded(&text) {
        rounds += 1;
        if rounds > MOST_ROUNDS {
            return true;
        }
        text = decoded;
    }
    let lower = text.to_ascii_lowercase();
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '_' | '=');
    ["avk_", "mcs_"].iter().any(|prefix| lower.contains(prefix))
        || lower.split(|letter| !is_part(letter)).any(|word| word.len() >= SHORTEST)
}

/// The text with its first escapes decoded; `None` where there is none.
fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest, mut found) = (Vec::new(), text.as_bytes(), false);
    while let Some((first, after)) = rest.split_first() {
        let byte = match after {
            [high, low, ..] if *first == b'%' => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        rest = if byte.is_some() { &after[2..] } else { after };
        found |= byte.is_some();
        bytes.push(byte.unwrap_or(*first));
    }
    found.then(|| String::from_utf8_lossy(&bytes).into_owned())
}
