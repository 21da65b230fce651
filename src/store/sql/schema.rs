//! Brings the tables up to date, and tells whether this version of the crate can work with them.
//!
//! The migrations are kept in a table of our own name, beside the application's own migrations. `sqlx::migrate!`
//! was not used: it takes no lock on SQLite, and it cannot tell a newer schema that an older program can work
//! with from one that it cannot.

use super::backend::{Backend, Rows, Value};
use super::error::{SchemaError, SqlError};
use super::statements as sql;

#[expect(unnameable_types, reason = "part of a sealed trait")]
#[derive(Debug)]
pub struct Migration {
    pub(super) version: i64,
    /// The oldest schema version that a program must know to work with the tables after this migration. A
    /// migration that only adds leaves it where it was.
    pub(super) compatible_from: i64,
    pub(super) script: &'static str,
}

pub(super) async fn migrate<B: Backend>(backend: &B) -> Result<(), SchemaError> {
    // Whoever has nothing to do needs no right to do it.
    if is_complete::<B>(&present(backend).await?)? {
        return Ok(());
    }
    let mut transaction = backend.begin_migration().await?;
    B::fetch_in(&mut transaction, sql::CREATE_MIGRATIONS, vec![]).await?;
    let applied = applied(&B::fetch_in(&mut transaction, sql::MIGRATIONS, vec![]).await?)?;
    compatible::<B>(&applied)?;
    for migration in B::MIGRATIONS {
        if applied.iter().any(|(version, _)| *version == migration.version) {
            continue;
        }
        B::run_script(&mut transaction, migration.script).await?;
        let now = B::fetch_in(&mut transaction, B::NOW, vec![]).await?;
        let values = vec![migration.version.into(), migration.compatible_from.into(), super::int(&now)?.into()];
        B::fetch_in(&mut transaction, sql::RECORD_MIGRATION, values).await?;
    }
    Ok(B::commit(transaction).await?)
}

pub(super) async fn check<B: Backend>(backend: &B) -> Result<(), SchemaError> {
    let applied = present(backend).await?;
    compatible::<B>(&applied)?;
    let found = applied.iter().map(|(version, _)| *version).max().unwrap_or(0);
    let needed = known::<B>();
    if found < needed { Err(SchemaError::Behind { found, needed }) } else { Ok(()) }
}

async fn present<B: Backend>(backend: &B) -> Result<Vec<(i64, i64)>, SchemaError> {
    match backend.fetch(sql::MIGRATIONS, vec![]).await {
        Ok(rows) => Ok(applied(&rows)?),
        // There is no such table, or we may not read it. The database says which, if it is neither.
        Err(sqlx::Error::Database(error)) if B::is_missing_table(&*error) => Ok(vec![]),
        Err(error) => Err(error.into()),
    }
}

fn is_complete<B: Backend>(applied: &[(i64, i64)]) -> Result<bool, SchemaError> {
    compatible::<B>(applied)?;
    Ok(B::MIGRATIONS.iter().all(|migration| applied.iter().any(|(version, _)| *version == migration.version)))
}

fn compatible<B: Backend>(applied: &[(i64, i64)]) -> Result<(), SchemaError> {
    let needed = applied.iter().map(|(_, compatible_from)| *compatible_from).max().unwrap_or(0);
    let known = known::<B>();
    if needed > known { Err(SchemaError::Incompatible { needed, known }) } else { Ok(()) }
}

fn known<B: Backend>() -> i64 {
    B::MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn applied(rows: &Rows) -> Result<Vec<(i64, i64)>, SqlError> {
    let pair = |row: &Vec<Value>| match row.as_slice() {
        [Value::Int(Some(version)), Value::Int(Some(compatible_from))] => Ok((*version, *compatible_from)),
        _ => Err(SqlError::bad_row("tower_api_key_migrations")),
    };
    rows.iter().map(pair).collect()
}
