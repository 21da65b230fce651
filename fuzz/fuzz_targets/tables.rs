//! Any table and any path: no key gets to a handler of axum's router that the table requires more for, and a key with enough
//! access gets to each plain path that the table lists.
//!
//! Each line of the input is a route of the router: what it requires, its method, and whether the table lists it, then the
//! pattern. The last line is the request: the method and the access of its key, then the path.
#![no_main]

use std::future::ready;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Request;
use axum::routing::{MethodFilter, any, on};
use axum::{Extension, Router};
use futures::executor::block_on;
use http::{Method, Response, Uri};
use libfuzzer_sys::fuzz_target;
use tower::{Layer, ServiceExt};
use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
use tower_api_key::routes::{RoutePattern, RouteTable, RouteTableBuilder, Unlisted};
use tower_api_key::{Access, ApiKeyLayer, MemoryStore, Requirement, Scope};

/// What the route requires: nothing, any key, the scope, full access.
type Level = u8;

const SCOPE: Scope = Scope::from_static("items.read");
const KEYS: [&str; 4] = ["", "any", "scoped", "full"];

static STORE: LazyLock<MemoryStore> = LazyLock::new(|| {
    let keys = MemoryStore::new();
    for (id, access) in (1..).zip([Access::scoped([]), Access::scoped([SCOPE]), Access::Full]) {
        let digest = KeyDigest::hash(KEYS[id as usize].as_bytes());
        keys.add(KeyRecord::new(KeyId::from_u128(id), digest, "acme".parse().unwrap(), access)).unwrap();
    }
    keys
});

struct Line<'a> {
    level: Level,
    method: Method,
    encoded: bool,
    is_listed: bool,
    pattern: &'a str,
}

/// The handler that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ran(usize);

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (flags, pattern) = (*line.as_bytes().first()?, line.get(1..)?);
        let method = if flags & 4 == 0 { Method::GET } else { Method::POST };
        Some(Self { level: flags & 3, method, encoded: flags & 8 != 0, is_listed: flags & 16 == 0, pattern })
    }

    fn required(&self) -> Level {
        if self.is_listed { self.level } else { 3 }
    }

    fn route_pattern(&self) -> RoutePattern {
        let pattern = RoutePattern::new(self.pattern);
        if self.encoded { pattern.with_encoded_parameters() } else { pattern }
    }

    /// Whether the path is a prefix that the line covers, which no router has: `/a` and `/a/` for `/a/{*rest}`.
    fn covers(&self, path: &str) -> bool {
        let Some((prefix, _)) = self.pattern.split_once("/{*").filter(|_| self.is_listed) else { return false };
        if prefix.is_empty() || path == "/" {
            return prefix.is_empty() && path == "/";
        }
        let handler = || any(|| ready(Extension(Ran(0))));
        let router = Router::new().route(prefix, handler()).route(&format!("{prefix}/"), handler());
        ran(&block_on(router.oneshot(Request::get(path).body(Body::empty()).unwrap())).unwrap()).is_some()
    }

    fn requirement(&self) -> Requirement {
        match self.level {
            1 => Requirement::any_key(),
            2 => SCOPE.into(),
            _ => Requirement::full_access(),
        }
    }
}

fuzz_target!(|text: &str| {
    let mut lines: Vec<&str> = text.split('\n').take(12).collect();
    let Some(request) = lines.pop().and_then(Call::parse) else { return };
    let lines: Vec<Line<'_>> = lines.into_iter().filter_map(Line::parse).collect();
    // What axum would take must not depend on what is listed.
    let (Some(_), Some(table)) = (table(lines.iter()), table(lines.iter().filter(|line| line.is_listed))) else {
        return;
    };
    let router = router(&lines);
    let listed: Vec<Method> = table.methods(request.uri.path()).cloned().collect();
    let guarded = ApiKeyLayer::new(STORE.clone()).routes(table).layer(router.clone());

    let handler = |uri: &Uri| ran(&block_on(router.clone().oneshot(request.http(uri))).unwrap());
    let bare = handler(&request.uri);
    let ran = ran(&block_on(guarded.oneshot(request.http(&request.uri))).unwrap());
    if let Some(Ran(line)) = ran {
        assert_eq!(ran, bare, "another handler ran");
        let line = &lines[line];
        // A pattern of the table also decides about what the table lacks and it matches.
        let is_decided = line.is_listed || listed.is_empty();
        assert!(!is_decided || request.level >= line.required(), "{request:?} ran {}", line.pattern);
        // A layer between the two may add the slash at the end, or remove it.
        let twin = request.twin().and_then(|twin| handler(&twin)).map(|Ran(twin)| &lines[twin]);
        if let Some(twin) = twin.filter(|twin| twin.is_listed && !twin.pattern.contains("{*")) {
            assert!(request.level >= twin.level, "{request:?} is a slash from {}", twin.pattern);
        }
    }
    let path = request.uri.path();
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/') && !path.contains("//");
    let is_covered = lines.iter().any(|line| line.covers(path));
    if let Some(Ran(line)) = bare.filter(|_| is_plain && !is_covered && request.level == 3) {
        let line = &lines[line];
        // An unlisted path that is a slash from a listed one is rejected, whatever the key may do.
        let may_be_rejected = !line.is_listed && request.twin().is_some();
        assert!(ran == bare || may_be_rejected, "{request:?} was rejected");
        let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
        assert!(!line.is_listed || listed.contains(method), "{request:?} has the methods {listed:?}");
    }
});

fn table<'a>(lines: impl Iterator<Item = &'a Line<'a>>) -> Option<RouteTable> {
    let table = RouteTable::builder().unlisted(Unlisted::FullAccess);
    let add = |table: RouteTableBuilder, line: &Line<'_>| match line.level {
        0 => table.public(line.method.clone(), line.route_pattern()),
        _ => table.route(line.method.clone(), line.route_pattern(), line.requirement()),
    };
    lines.fold(table, add).build().ok()
}

/// The router of all lines. Panics where the table accepts a pattern that axum does not.
fn router(lines: &[Line<'_>]) -> Router {
    lines.iter().enumerate().fold(Router::new(), |router, (number, line)| {
        let filter = MethodFilter::try_from(line.method.clone()).unwrap();
        router.route(line.pattern, on(filter, move || ready(Extension(Ran(number)))))
    })
}

fn ran<B>(response: &Response<B>) -> Option<Ran> {
    response.extensions().get().copied()
}

#[derive(Debug)]
struct Call {
    method: Method,
    level: Level,
    uri: Uri,
}

impl Call {
    fn parse(line: &str) -> Option<Self> {
        let (flags, path) = (*line.as_bytes().first()?, line.get(1..)?);
        let method = [Method::GET, Method::POST, Method::HEAD][usize::from(flags / 4 % 3)].clone();
        let uri = Some(path).filter(|path| path.starts_with('/'))?.parse().ok()?;
        Some(Self { method, level: flags & 3, uri })
    }

    fn http(&self, uri: &Uri) -> Request {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.clone();
        if self.level > 0 {
            request.headers_mut().insert("x-avala-api-key", KEYS[usize::from(self.level)].parse().unwrap());
        }
        request
    }

    /// The path with the slash at its end that it lacks, or without the one that it has.
    fn twin(&self) -> Option<Uri> {
        let path = self.uri.path();
        let twin = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        Some(twin).filter(|twin| !twin.is_empty())?.parse().ok()
    }
}
