//! Brings the tables up to date, and checks that this version of the crate can work with them.
//!
//! The migrations are listed in a table of this crate, apart from those of the application. `sqlx::migrate!` is not used:
//! it takes no lock on SQLite, and it rejects every newer schema, also one that an older program can work with.

use super::database::{Database, Rows, Value};
use super::error::{SchemaError, SqlError, is_missing_table};
use super::statements as sql;

const UTF8: &str = "UTF8";

pub(super) async fn migrate<B: Database>(database: &B) -> Result<(), SchemaError> {
    check_encoding(database).await?;
    // Without anything to migrate, no right to create tables is needed.
    if is_complete::<B>(&present(database).await?)? {
        return Ok(());
    }
    let mut transaction = database.begin_migration().await?;
    B::fetch_in(&mut transaction, sql::CREATE_MIGRATIONS, vec![]).await?;
    let applied = applied(&B::fetch_in(&mut transaction, sql::MIGRATIONS, vec![]).await?)?;
    compatible::<B>(&applied)?;
    for migration in B::MIGRATIONS {
        if applied.iter().any(|(version, _)| *version == migration.version) {
            continue;
        }
        B::run_script(&mut transaction, migration.script).await?;
        let now = B::fetch_in(&mut transaction, B::NOW, vec![]).await?;
        let values = vec![migration.version.into(), migration.compatible_from.into(), super::timestamp(&now)?.into()];
        B::fetch_in(&mut transaction, sql::RECORD_MIGRATION, values).await?;
    }
    Ok(B::commit(transaction).await?)
}

pub(super) async fn check<B: Database>(database: &B) -> Result<(), SchemaError> {
    check_encoding(database).await?;
    let applied = present(database).await?;
    compatible::<B>(&applied)?;
    let found = newest(&applied);
    let needed = known::<B>();
    if found < needed { Err(SchemaError::Behind { found, needed }) } else { Ok(()) }
}

pub(super) async fn version<B: Database>(database: &B) -> Result<i64, SchemaError> {
    Ok(newest(&present(database).await?))
}

fn newest(applied: &[(i64, i64)]) -> i64 {
    applied.iter().map(|(version, _)| *version).max().unwrap_or(0)
}

async fn check_encoding<B: Database>(database: &B) -> Result<(), SchemaError> {
    let rows = database.read(B::ENCODINGS, vec![]).await?;
    match rows.first().map(Vec::as_slice) {
        Some([Value::Text(server), Value::Text(client)]) if server == UTF8 && client == UTF8 => Ok(()),
        Some([Value::Text(server), Value::Text(client)]) => {
            Err(SchemaError::Encoding { server: server.clone(), client: client.clone() })
        }
        _ => Err(SqlError::invalid_row("no encoding returned").into()),
    }
}

async fn present<B: Database>(database: &B) -> Result<Vec<(i64, i64)>, SchemaError> {
    match database.read(sql::MIGRATIONS, vec![]).await {
        Ok(rows) => Ok(applied(&rows)?),
        // A database without our tables is at version 0.
        Err(sqlx::Error::Database(error)) if is_missing_table(&*error) => Ok(vec![]),
        Err(error) => Err(error.into()),
    }
}

fn is_complete<B: Database>(applied: &[(i64, i64)]) -> Result<bool, SchemaError> {
    compatible::<B>(applied)?;
    Ok(B::MIGRATIONS.iter().all(|migration| applied.iter().any(|(version, _)| *version == migration.version)))
}

fn compatible<B: Database>(applied: &[(i64, i64)]) -> Result<(), SchemaError> {
    let needed = applied.iter().map(|(_, compatible_from)| *compatible_from).max().unwrap_or(0);
    let known = known::<B>();
    if needed > known { Err(SchemaError::Incompatible { needed, known }) } else { Ok(()) }
}

/// Returns the schema version that this program knows.
pub(super) fn known<B: Database>() -> i64 {
    B::MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn applied(rows: &Rows) -> Result<Vec<(i64, i64)>, SqlError> {
    let pair = |row: &Vec<Value>| match row.as_slice() {
        [Value::Int(Some(version)), Value::Int(Some(compatible_from))] => Ok((*version, *compatible_from)),
        _ => Err(SqlError::invalid_row("tower_api_key_migrations cannot be read")),
    };
    rows.iter().map(pair).collect()
}
