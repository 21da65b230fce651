//! A database or a role for one test, where a schema is not enough.

use crate::support::postgres::{Sql, at_the_end, server_url, unique, with};

/// A database for one test: for settings of a whole database, or where a URL cannot name a schema.
pub(crate) struct Database {
    name: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// Without the rules of any language, so that the locale allows the encoding.
    pub(crate) async fn in_encoding(encoding: &str) -> Self {
        Self::with(&format!("TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")).await
    }

    async fn with(settings: &str) -> Self {
        let name = unique("database");
        let mut sql = Sql::connect(&server_url()).await;
        sql.run(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
        sql.run(format!("CREATE DATABASE {name} {settings}")).await.unwrap();
        Self { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> String {
        with(&server_url(), "dbname", &self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        at_the_end(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// A role that may only log in. Drop it before its schema.
pub(crate) struct Role {
    name: String,
}

impl Role {
    pub(crate) async fn new() -> Self {
        let name = unique("role");
        let mut sql = Sql::connect(&server_url()).await;
        sql.run(format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN PASSWORD '{name}'")).await.unwrap();
        Self { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL for this role.
    pub(crate) fn at(&self, url: &str) -> String {
        with(&with(url, "user", &self.name), "password", &self.name)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let name = &self.name;
        at_the_end(format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{name}'; \
             DROP OWNED BY {name}; DROP ROLE {name}"
        ));
    }
}
