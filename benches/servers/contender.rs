//! The servers that are compared, and the bars that their figures must meet.

use futures::FutureExt;
use futures::future::BoxFuture;
use tower_api_key::BoxError;
use tower_api_key::store::{PostgresStore, SqliteStore};

use crate::databases::Urls;
use crate::routers::{self, App, bare, cached, guarded};
use crate::{hand_written, programs};

pub(crate) const BARE: &str = "bare";
pub(crate) const BARE_AGAIN: &str = "bare, again";

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) how: How,
    pub(crate) bars: &'static [Bar],
}

pub(crate) enum How {
    /// Served by this program. Made once every connection is open that is opened before a server accepts requests.
    Router(fn(Urls) -> BoxFuture<'static, Result<App, BoxError>>),
    /// nginx with a map of keys, in front of the bare route.
    Nginx,
    /// In another language, and so slow that it takes part in fewer rounds.
    Program(programs::Program),
}

/// What a figure must be, of the same figure of another server.
pub(crate) struct Bar {
    pub(crate) of: &'static str,
    pub(crate) figure: Figure,
    pub(crate) connections: u64,
    pub(crate) limit: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// A second, at least.
    Requests,
    /// The CPU time of a request, at most.
    Cpu,
}

impl Bar {
    const fn requests(of: &'static str, limit: f64) -> Self {
        Self { of, figure: Figure::Requests, connections: 16, limit }
    }

    const fn cpu(of: &'static str, limit: f64) -> Self {
        Self { of, figure: Figure::Cpu, connections: 16, limit }
    }

    const fn requests_of_one_connection(of: &'static str, limit: f64) -> Self {
        Self { of, figure: Figure::Requests, connections: 1, limit }
    }
}

const fn store_bars(of: &'static str, cpu: f64) -> [Bar; 3] {
    [Bar::requests(of, 1.5), Bar::cpu(of, cpu), Bar::requests_of_one_connection(of, 1.0)]
}

const HAND_MAP: &str = "hand-written `from_fn` on a map";
const HAND_SQLITE: &str = "hand-written on SQLite";
const HAND_SQLITE_ANALYZED: &str = "hand-written on SQLite, after ANALYZE";
const HAND_POSTGRES: &str = "hand-written on Postgres";

macro_rules! contender {
    ($name:expr, $bars:expr, $router:expr) => {
        Contender {
            name: $name,
            how: How::Router(|urls| async move { Ok($router(urls).await?.into()) }.boxed()),
            bars: $bars,
        }
    };
}

const fn program(name: &'static str, runtime: programs::Runtime, script: &'static [&'static str]) -> Contender {
    Contender { name, how: How::Program(programs::Program { runtime, script, keys: programs::ALL_KEYS }), bars: &[] }
}

const fn keyshield(name: &'static str, script: &'static [&'static str]) -> Contender {
    let program = programs::Program { runtime: programs::Runtime::Python, script, keys: programs::FEW_KEYS };
    Contender { name, how: How::Program(program), bars: &[] }
}

pub(crate) const CONTENDERS: &[Contender] = &[
    contender!(BARE, &[], async |_| Ok::<_, BoxError>(bare())),
    contender!(BARE_AGAIN, &[], async |_| Ok::<_, BoxError>(bare())),
    contender!(HAND_MAP, &[], async |_| Ok::<_, BoxError>(hand_written::map())),
    contender!("MemoryStore", &[Bar::cpu(HAND_MAP, 0.97)], async |_| routers::memory()),
    contender!("MemoryStore, route table", &[Bar::requests(BARE, 0.9)], async |_| routers::table()),
    contender!("MemoryStore, route table, in `fallback_service`", &[Bar::requests(BARE, 0.9)], async |_| {
        routers::table_in_fallback()
    }),
    contender!("recommended stack on SQLite", &[], async |urls: Urls| routers::recommended(&urls.sqlite).await),
    contender!("SqliteStore and CachedStore", &[], async |urls: Urls| {
        guarded(cached(SqliteStore::connect(&urls.sqlite).await?))
    }),
    contender!("SqliteStore", &store_bars(HAND_SQLITE, 0.67), async |urls: Urls| {
        guarded(SqliteStore::connect(&urls.sqlite).await?)
    }),
    contender!(HAND_SQLITE, &[], async |urls: Urls| hand_written::sqlite(&urls.sqlite).await),
    contender!("SqliteStore, after ANALYZE", &store_bars(HAND_SQLITE_ANALYZED, 0.67), async |urls: Urls| {
        guarded(SqliteStore::connect(&urls.sqlite_analyzed).await?)
    }),
    contender!(HAND_SQLITE_ANALYZED, &[], async |urls: Urls| hand_written::sqlite(&urls.sqlite_analyzed).await),
    contender!("PostgresStore and CachedStore", &[], async |urls: Urls| {
        guarded(cached(PostgresStore::connect(&urls.postgres).await?))
    }),
    contender!("PostgresStore", &store_bars(HAND_POSTGRES, 0.75), async |urls: Urls| {
        guarded(PostgresStore::connect(&urls.postgres).await?)
    }),
    contender!(HAND_POSTGRES, &[], async |urls: Urls| hand_written::postgres(&urls.postgres).await),
    Contender { name: "nginx, a map of keys in front of bare", how: How::Nginx, bars: &[] },
    program("better-auth API keys, SQLite", programs::Runtime::Node, &["better_auth.mjs"]),
    program("Django REST framework API key, SQLite", programs::Runtime::Python, &["django_server.py"]),
    keyshield("keyshield on FastAPI, SQLite, its cache", &["keyshield_server.py", "cached"]),
    keyshield("keyshield on FastAPI, SQLite", &["keyshield_server.py"]),
];

impl Contender {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        CONTENDERS.iter().find(|contender| contender.name == name)
    }

    pub(crate) fn is_bare(&self) -> bool {
        [BARE, BARE_AGAIN].contains(&self.name)
    }

    pub(crate) const fn is_program(&self) -> bool {
        matches!(self.how, How::Program(_))
    }

    /// Whether a bar of one connection needs its figures.
    pub(crate) fn is_compared_with_one_connection(&self) -> bool {
        let is_its = |contender: &Self, bar: &Bar| contender.name == self.name || bar.of == self.name;
        self.is_bare()
            || CONTENDERS.iter().any(|other| other.bars.iter().any(|bar| bar.connections == 1 && is_its(other, bar)))
    }
}
