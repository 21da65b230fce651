//! A schema of its own for each test, on the server that `DATABASE_URL` names.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_api_key::PostgresStore;

use super::sql::Sql;

pub(crate) fn server_url() -> String {
    std::env::var("DATABASE_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".into())
}

/// The URL with one more parameter. A later one wins over what the URL says elsewhere.
pub(crate) fn with(url: &str, parameter: &str, value: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{parameter}={value}")
}

/// An empty schema, first and only in the search path of its URL. Gone at the end, with whatever still works in it.
pub(crate) struct Schema {
    name: String,
}

impl Schema {
    pub(crate) async fn new() -> Self {
        let name = unique("schema");
        let mut sql = Sql::connect(&server_url()).await;
        sql.run(format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")).await.unwrap();
        Self { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> String {
        let url = with(&server_url(), "options[search_path]", &self.name);
        with(&url, "application_name", &self.name)
    }

    /// A stranger's connection, to edit the tables by hand.
    pub(crate) async fn sql(&self) -> Sql {
        Sql::connect(&self.url()).await
    }

    /// A store on this schema, with its tables.
    pub(crate) async fn store(&self) -> PostgresStore {
        let store = PostgresStore::connect(&self.url()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let name = &self.name;
        at_the_end(format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{name}'; \
             SET lock_timeout = '5s'; SET client_min_messages = error; DROP SCHEMA IF EXISTS {name} CASCADE"
        ));
    }
}

/// A name that nothing else on the server has.
pub(crate) fn unique(kind: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("tower_api_key_test_{kind}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Cleans up from a destructor, which cannot await. What cannot be cleaned up is told, and fails no test.
pub(crate) fn at_the_end(sql: String) {
    in_a_runtime_of_its_own(async move {
        if let Err(error) = Sql::connect(&server_url()).await.run(sql).await {
            eprintln!("left behind: {error}");
        }
    });
}

fn in_a_runtime_of_its_own(work: impl Future<Output = ()> + Send + 'static) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = std::thread::spawn(move || runtime().block_on(work)).join();
}
