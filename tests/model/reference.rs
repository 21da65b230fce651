//! What each request must come to, in the words of the documentation, with nothing of the crate but a few names.

use tower_api_key::Otherwise;
use tower_api_key::test_kit::Fault;

use super::generated::{Alteration, Case, Change, Guard, Place, Presented, Step};

/// When every case begins, in seconds after the epoch.
pub(crate) const START: u64 = 1_000;

pub(crate) type Headers = Vec<(&'static str, Vec<u8>)>;

pub(crate) struct Reference {
    case: Case,
    now: u64,
    keys: Vec<Known>,
    disabled: [bool; 2],
    maximum_age: [Option<u64>; 2],
    /// Those that were replaced or revoked.
    dead: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: u128,
    pub(crate) text: Vec<u8>,
    created: u64,
    expires: Option<u64>,
    revoked: bool,
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
            created: START,
            expires: key.expires,
            revoked: false,
        };
        Self {
            case: case.clone(),
            now: START,
            keys: keys.map(known).collect(),
            disabled: [false; 2],
            maximum_age: [None; 2],
            dead: Vec::new(),
        }
    }

    pub(crate) fn key(&self, which: usize) -> &Known {
        &self.keys[which]
    }

    pub(crate) fn policy(&self, organization: usize) -> (bool, Option<u64>) {
        (self.disabled[organization], self.maximum_age[organization])
    }

    /// Whether the store makes this change: a revoked key is not regenerated.
    pub(crate) fn takes(&self, change: Change) -> bool {
        !matches!(change, Change::Regenerate(which) if self.keys[which].revoked)
    }

    pub(crate) fn change(&mut self, change: Change, made: Option<(u128, Vec<u8>)>) {
        match change {
            Change::Revoke(which) => self.keys[which].revoked = true,
            Change::Regenerate(which) => {
                let Some((id, text)) = made else { return };
                let new = Known { id, text, created: self.now, expires: None, revoked: false };
                let old = std::mem::replace(&mut self.keys[which], new);
                self.dead.push(old.text);
            }
            Change::Disable(which, disabled) => self.disabled[which] = disabled,
            Change::MaximumAge(which, age) => self.maximum_age[which] = age,
            Change::Clock(now) => self.now = now,
        }
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
            Presented::Key(which) => self.dead.get(*which).unwrap_or(&self.keys[*which].text).clone(),
            Presented::Changed(which, alteration) => changed(&self.keys[*which].text, *alteration),
            Presented::Blank(text) => text.as_bytes().to_vec(),
            Presented::Bytes(bytes) => bytes.clone(),
            Presented::Long(length) => vec![b'a'; *length],
        }
    }

    pub(crate) fn expect(&self, step: &Step, headers: &Headers) -> Expected {
        let mut expected = self.verdict(step, headers);
        if step.method == "HEAD" && !expected.handler_may_run() {
            expected.body.clear();
        }
        expected
    }

    fn verdict(&self, step: &Step, headers: &Headers) -> Expected {
        let asked = self.asked(step);
        if asked == Asked::Nothing {
            return handled("no key", 0);
        }
        let text = match self.credential(headers) {
            Ok(text) => text,
            Err(true) if self.case.optional && asked == Asked::AnyKey => return handled("no key", 0),
            Err(true) => return refused(401, "Authentication credentials were not provided.", 0),
            Err(false) => return refused(401, "Invalid API key.", 0),
        };
        match step.fault {
            Fault::None => {}
            Fault::Slow(time) if time.as_millis() < 1_000 => {}
            _ => return refused(503, "Service temporarily unavailable, try again later.", 1),
        }
        let Some(which) = self.keys.iter().position(|key| key.text == text && !key.revoked) else {
            return refused(401, "Invalid API key.", 1);
        };
        let (known, key) = (&self.keys[which], &self.case.keys[which]);
        if self.disabled[key.organization] {
            return refused(401, "Invalid API key.", 1);
        }
        let oldest = self.maximum_age[key.organization].map(|age| known.created + age);
        if known.expires.is_some_and(|at| self.now >= at) || oldest.is_some_and(|at| self.now >= at) {
            return refused(401, "API key has expired.", 1);
        }
        let has = |scope: &&'static str| key.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope));
        let may = match asked {
            Asked::Nothing | Asked::AnyKey => true,
            Asked::Full => key.scopes.is_none(),
            Asked::All(scopes) => scopes.iter().all(has),
            Asked::Any(scopes) => scopes.iter().any(has),
            Asked::Absent => return refused(404, "Not found.", 1),
        };
        if may {
            handled(&format!("key {}", known.id), 1)
        } else {
            refused(403, "You do not have permission to perform this action.", 1)
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
            [one] if self.case.only_format && !is_avala(one) => Err(false),
            [one] => Ok(one.to_vec()),
            _ => Err(false),
        }
    }

    fn asked(&self, step: &Step) -> Asked<'_> {
        let otherwise = match &self.case.guard {
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
                Otherwise::AnyKey => Asked::AnyKey,
                Otherwise::FullAccess => Asked::Full,
                _ => Asked::Absent,
            },
        }
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

fn refused(status: u16, detail: &str, lookups: u64) -> Expected {
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

/// Bit by bit, as the polynomial says.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}
