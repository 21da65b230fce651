//! What each request must come to, in the words of the documentation, with nothing of the crate but a few names.

use std::sync::Arc;

use tower_api_key::routes::Unlisted;
use tower_api_key::test_kit::Fault;

use super::generated::{Alteration, Case, Change, Guard, OVERLAP, Place, Presented, Step};

/// When every case begins, in seconds after the epoch.
pub(crate) const START: u64 = 1_000;

pub(crate) type Headers = Vec<(&'static str, Vec<u8>)>;

pub(crate) struct Reference {
    case: Arc<Case>,
    now: u64,
    /// How many seconds have passed, whatever the clock was set to.
    passed: u64,
    keys: Vec<Known>,
    disabled: [bool; 2],
    maximum_age: [Option<u64>; 2],
    /// Those that were replaced.
    dead: Vec<Known>,
    /// What the cache has seen of a text that was presented, the latest last.
    seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: u128,
    pub(crate) text: Vec<u8>,
    pub(crate) organization: usize,
    /// `None` is full access.
    scopes: Option<Vec<&'static str>>,
    created: u64,
    expires: Option<u64>,
    revoked: bool,
    suspended: bool,
    confined: bool,
    purged: bool,
}

/// A key as the store has it, with what its organization demands.
#[derive(Clone, Debug)]
struct Stored {
    key: Known,
    disabled: bool,
    maximum_age: Option<u64>,
}

#[derive(Debug)]
struct Seen {
    text: Vec<u8>,
    stored: Option<Stored>,
    now: u64,
    passed: u64,
}

/// A reply, and what was done for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) handled: usize,
    pub(crate) lookups: u64,
    pub(crate) challenge: bool,
    pub(crate) retry_after: bool,
    pub(crate) no_store: bool,
}

impl Expected {
    pub(crate) fn handler_may_run(&self) -> bool {
        self.handled == 1
    }
}

#[derive(PartialEq, Eq)]
enum Asked<'a> {
    Nothing,
    AnyKey,
    Full,
    All(&'a [&'static str]),
    Any(&'a [&'static str]),
    Absent,
}

impl Reference {
    pub(crate) fn new(case: &Case) -> Self {
        let keys = case.keys.iter().zip(1_u128..).zip(texts());
        let known = |((key, id), text): ((&super::generated::Key, u128), Vec<u8>)| Known {
            id,
            text,
            organization: key.organization,
            scopes: key.scopes.clone(),
            created: START,
            expires: key.expires,
            revoked: false,
            suspended: false,
            confined: false,
            purged: false,
        };
        Self {
            case: Arc::new(case.clone()),
            now: START,
            passed: 0,
            keys: keys.map(known).collect(),
            disabled: [false; 2],
            maximum_age: [None; 2],
            dead: Vec::new(),
            seen: Vec::new(),
        }
    }

    pub(crate) fn key(&self, which: usize) -> &Known {
        &self.keys[which]
    }

    pub(crate) fn policy(&self, organization: usize) -> (bool, Option<u64>) {
        (self.disabled[organization], self.maximum_age[organization])
    }

    /// Whether the store makes this change: a revoked key is neither regenerated nor changed, and none gets more.
    pub(crate) fn takes(&self, change: &Change) -> bool {
        let live = |which: &usize| !self.keys[*which].revoked && !self.keys[*which].purged;
        match change {
            Change::Revoke(which) => !self.keys[*which].purged,
            Change::Regenerate(which) | Change::Overlap(which) => live(which) && !self.keys[*which].suspended,
            Change::Narrow(which, left) => {
                let scopes = &self.keys[*which].scopes;
                live(which) && scopes.as_ref().is_none_or(|scopes| left.iter().all(|scope| scopes.contains(scope)))
            }
            Change::Shorten(which, at) => {
                live(which) && *at > self.now && self.keys[*which].expires.is_none_or(|expires| *at <= expires)
            }
            Change::Suspend(which, _) | Change::Confine(which) => live(which),
            _ => true,
        }
    }

    /// Whether this key can authenticate nothing any more.
    fn is_over(&self, key: &Known) -> bool {
        let oldest = self.maximum_age[key.organization].map(|age| key.created + age);
        key.revoked || key.expires.into_iter().chain(oldest).any(|end| self.now >= end)
    }

    /// What was made by it, where it was taken.
    pub(crate) fn change(&mut self, change: &Change, elsewhere: bool, made: Option<(u128, Vec<u8>)>) {
        if !elsewhere {
            self.forget(change);
        }
        let Some((id, text)) = made else { return };
        match change {
            Change::Revoke(which) => self.keys[*which].revoked = true,
            Change::Regenerate(which) => {
                let old = &mut self.keys[*which];
                let new = Known { id, text, created: self.now, expires: None, ..old.clone() };
                old.revoked = true;
                self.dead.push(std::mem::replace(old, new));
            }
            Change::Overlap(which) => {
                let old = &mut self.keys[*which];
                let new = Known { id, text, created: self.now, expires: None, ..old.clone() };
                let end = self.now + OVERLAP;
                old.expires = Some(old.expires.map_or(end, |expires| expires.min(end)));
                self.dead.push(std::mem::replace(old, new));
            }
            Change::Narrow(which, left) => self.keys[*which].scopes = Some(left.clone()),
            Change::Suspend(which, suspended) => self.keys[*which].suspended = *suspended,
            Change::Shorten(which, at) => self.keys[*which].expires = Some(*at),
            Change::Confine(which) => self.keys[*which].confined = true,
            Change::Purge(which) => {
                let of = |key: &Known| key.organization == *which && self.is_over(key);
                let over: Vec<_> = self.keys.iter().chain(&self.dead).filter(|key| of(key)).map(|key| key.id).collect();
                let purged = |key: &&mut Known| over.contains(&key.id);
                self.keys.iter_mut().chain(&mut self.dead).filter(purged).for_each(|key| key.purged = true);
            }
            Change::Disable(which, disabled) => self.disabled[*which] = *disabled,
            Change::MaximumAge(which, age) => self.maximum_age[*which] = *age,
            Change::Clock(now) => self.now = *now,
            Change::Wait(seconds) => {
                self.now += seconds;
                self.passed += seconds;
            }
        }
    }

    /// What the cache has seen of a key is over when the key or its organization was changed through it.
    fn forget(&mut self, change: &Change) {
        let keys = &self.keys;
        let is_over = |id: u128| {
            let key = keys.iter().chain(&self.dead).find(|key| key.id == id);
            key.is_some_and(|key| !key.purged && self.is_over(key))
        };
        let purged: Vec<_> = keys.iter().chain(&self.dead).map(|key| key.id).filter(|id| is_over(*id)).collect();
        self.seen.retain(|seen| {
            let Some(Stored { key, .. }) = &seen.stored else { return true };
            match change {
                Change::Revoke(which)
                | Change::Regenerate(which)
                | Change::Overlap(which)
                | Change::Narrow(which, _)
                | Change::Suspend(which, _)
                | Change::Shorten(which, _)
                | Change::Confine(which) => key.id != keys[*which].id,
                Change::Purge(which) => key.organization != *which || !purged.contains(&key.id),
                Change::Disable(which, _) | Change::MaximumAge(which, _) => key.organization != *which,
                Change::Clock(_) | Change::Wait(_) => true,
            }
        });
    }

    /// What the cache answers without asking the store: a key for 5 seconds, an unknown one for 1, by either clock.
    fn cached(&self, text: &[u8]) -> Option<Option<Stored>> {
        let seen = self.seen.iter().rfind(|seen| self.case.cached && seen.text == text)?;
        let age = self.now.saturating_sub(seen.now).max(self.passed - seen.passed);
        let life = if seen.stored.is_some() { 5 } else { 1 };
        (age < life).then(|| seen.stored.clone())
    }

    fn stored(&self, text: &[u8]) -> Option<Stored> {
        let key = self.keys.iter().chain(&self.dead).find(|key| key.text == text && !key.purged)?.clone();
        let (disabled, maximum_age) = self.policy(key.organization);
        Some(Stored { key, disabled, maximum_age })
    }

    pub(crate) fn headers(&self, step: &Step) -> Headers {
        let header = |(place, presented): &(Place, Presented)| {
            let text = self.presented(presented);
            match place {
                Place::Header => ("x-avala-api-key", text),
                Place::Bearer => ("authorization", [b"Bearer ", &text[..]].concat()),
                Place::LowerCaseBearer => ("authorization", [b"bearer ", &text[..]].concat()),
                Place::OtherScheme => ("authorization", [b"Basic ", &text[..]].concat()),
                Place::Underscores => ("x_avala_api_key", text),
                Place::OtherHeader => ("x-api-key", text),
            }
        };
        step.headers.iter().map(header).collect()
    }

    /// A key that was replaced is presented now and then in place of the one that replaced it.
    fn presented(&self, presented: &Presented) -> Vec<u8> {
        match presented {
            Presented::Key(which) => self.dead.get(*which).unwrap_or(&self.keys[*which]).text.clone(),
            Presented::Changed(which, alteration) => changed(&self.keys[*which].text, *alteration),
            Presented::Blank(text) => text.as_bytes().to_vec(),
            Presented::Bytes(bytes) => bytes.clone(),
            Presented::Long(length) => vec![b'a'; *length],
        }
    }

    pub(crate) fn expect(&mut self, step: &Step, headers: &Headers) -> Expected {
        let mut expected = self.verdict(step, headers);
        if step.method == "HEAD" && !expected.handler_may_run() {
            expected.body.clear();
        }
        expected
    }

    fn verdict(&mut self, step: &Step, headers: &Headers) -> Expected {
        let (case, now) = (Arc::clone(&self.case), self.now);
        let asked = asked(&case, step);
        if asked == Asked::Nothing {
            return handled("no key", 0);
        }
        let text = match self.credential(headers) {
            Ok(text) => text,
            Err(true) if case.optional && asked == Asked::AnyKey => return handled("no key", 0),
            Err(true) => return rejected(401, "Authentication credentials were not provided.", 0),
            Err(false) => return rejected(401, "Invalid API key.", 0),
        };
        let (stored, lookups) = match self.cached(&text) {
            Some(seen) => (seen, 0),
            None => {
                match step.fault {
                    Fault::None => {}
                    Fault::Slow(time) if time.as_millis() < 1_000 => {}
                    _ => return rejected(503, "Service temporarily unavailable, try again later.", 1),
                }
                let stored = self.stored(&text);
                self.seen.push(Seen { text, stored: stored.clone(), now, passed: self.passed });
                (stored, 1)
            }
        };
        let Some(Stored { key, disabled: false, maximum_age }) =
            stored.filter(|stored| !stored.key.revoked && !stored.key.suspended)
        else {
            return rejected(401, "Invalid API key.", lookups);
        };
        let oldest = maximum_age.map(|age| key.created + age);
        if key.expires.is_some_and(|at| now >= at) || oldest.is_some_and(|at| now >= at) {
            return rejected(401, "API key has expired.", lookups);
        }
        if key.confined && step.client.is_none() {
            return rejected(403, "You do not have permission to perform this action.", lookups);
        }
        let has = |scope: &&'static str| key.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope));
        let may = match asked {
            Asked::Nothing | Asked::AnyKey => true,
            Asked::Full => key.scopes.is_none(),
            Asked::All(scopes) => scopes.iter().all(has),
            Asked::Any(scopes) => scopes.iter().any(has),
            Asked::Absent => return rejected(404, "Not found.", lookups),
        };
        if may {
            handled(&format!("key {}", key.id), lookups)
        } else {
            rejected(403, "You do not have permission to perform this action.", lookups)
        }
    }

    /// `Err(true)` when there is none, `Err(false)` when it is no good.
    fn credential(&self, headers: &Headers) -> Result<Vec<u8>, bool> {
        let of = |name: &'static str| headers.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value);
        let mut all: Vec<&[u8]> = of("x-avala-api-key").map(Vec::as_slice).collect();
        if self.case.bearer {
            let schemes: [&[u8]; 2] = [b"Bearer ", b"bearer "];
            let tokens: Vec<_> = of("authorization")
                .filter_map(|value| schemes.iter().find_map(|one| value.strip_prefix(*one)))
                .map(<[u8]>::trim_ascii_start)
                // A token in no required format belongs to another authenticator.
                .filter(|token| !self.case.require_formats || token.starts_with(b"avk_"))
                .collect();
            if !tokens.is_empty() && of("authorization").count() > 1 {
                return Err(false);
            }
            all.extend(tokens);
        }
        match all[..] {
            [] => Err(true),
            [one] if one.len() > 512 => Err(false),
            [one] if one.iter().all(|byte| b" \t".contains(byte)) => Err(true),
            [one] if self.case.require_formats && !is_avala(one) => Err(false),
            [one] => Ok(one.to_vec()),
            _ => Err(false),
        }
    }
}

fn asked<'a>(case: &'a Case, step: &Step) -> Asked<'a> {
    let otherwise = match &case.guard {
        Guard::AnyKey => return Asked::AnyKey,
        Guard::FullAccess => return Asked::Full,
        Guard::AllOf(scopes) if scopes.is_empty() => return Asked::AnyKey,
        Guard::AllOf(scopes) => return Asked::All(scopes),
        Guard::AnyOf(scopes) => return Asked::Any(scopes),
        Guard::Table(otherwise) => *otherwise,
    };
    match (step.method, step.path) {
        ("GET" | "HEAD", "/open") => Asked::Nothing,
        ("GET" | "HEAD", "/any") => Asked::AnyKey,
        ("GET" | "HEAD", "/full") => Asked::Full,
        ("GET" | "HEAD", "/items/7" | "/items/7?x=/open") => Asked::All(&["datasets.read"]),
        ("POST", "/items/7" | "/items/7?x=/open") => Asked::Any(&["items.write", "items"]),
        // A listed route but for its last slash.
        ("GET" | "HEAD", "/open/") => Asked::Absent,
        // With two readings.
        (_, "//open" | "/items/%2f" | "/items/.." | "/items/7;x" | "/%6fpen") => Asked::Absent,
        _ => match otherwise {
            Unlisted::InsecureAnyKey => Asked::AnyKey,
            Unlisted::FullAccess => Asked::Full,
            _ => Asked::Absent,
        },
    }
}

fn handled(key: &str, lookups: u64) -> Expected {
    Expected {
        status: 200,
        body: key.to_owned(),
        handled: 1,
        lookups,
        challenge: false,
        retry_after: false,
        no_store: false,
    }
}

fn rejected(status: u16, detail: &str, lookups: u64) -> Expected {
    Expected {
        status,
        body: format!("{{\"detail\":\"{detail}\"}}"),
        handled: 0,
        lookups,
        challenge: status == 401,
        retry_after: status == 503,
        no_store: true,
    }
}

/// One that was issued here, one from elsewhere, one with a wrong checksum, and one of a byte that is no text.
fn texts() -> [Vec<u8>; 4] {
    let issued = "avk_00112233445566778899aabbccddeeff";
    [
        format!("{issued}{:08x}", crc_32(issued.as_bytes())).into_bytes(),
        b"avala_sk_0123456789".to_vec(),
        format!("{issued}00000000").into_bytes(),
        vec![0xff],
    ]
}

fn changed(text: &[u8], alteration: Alteration) -> Vec<u8> {
    match alteration {
        Alteration::WithoutTheLast => text[..text.len() - 1].to_vec(),
        Alteration::WithOneMore => [text, b"0"].concat(),
        Alteration::UpperCase => text.to_ascii_uppercase(),
        Alteration::SpaceInFront => [b" ", text].concat(),
        Alteration::Twice => [text, b",", text].concat(),
        Alteration::OneBit(bit) => {
            let mut text = text.to_vec();
            let at = bit / 8 % text.len();
            // The two lowest bits alone, so that a header can hold it.
            text[at] ^= 1 << (bit % 2);
            text
        }
    }
}

fn is_avala(text: &[u8]) -> bool {
    let hex = |text: &[u8]| text.iter().all(|byte| b"0123456789abcdef".contains(byte));
    text.len() == 44
        && text.starts_with(b"avk_")
        && hex(&text[4..])
        && text[36..] == *format!("{:08x}", crc_32(&text[..36])).as_bytes()
}

/// Bit by bit, by the polynomial.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}
