//! Schema migrations: numbered scripts per component, remembered with their SHA-256.

use std::collections::BTreeMap;

use marram_types::Timestamp;

use crate::error::StoreError;
use crate::params;
use crate::query::Tx;

/// One step of a component's schema. Numbers of a component are 1, 2, 3 ..; a published step is never edited.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Who owns the tables: `registry`, `audit`.
    pub component: &'static str,
    /// Place in the component's order, from 1.
    pub number: u32,
    /// One or more statements.
    pub sql: &'static str,
}

const HISTORY: &str = "CREATE TABLE IF NOT EXISTS schema_history (
    component TEXT NOT NULL,
    number BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (component, number)
) WITHOUT ROWID";

/// Applies what is missing, in the order given, inside one transaction.
pub(crate) fn apply(tx: &mut Tx<'_>, migrations: &[Migration], now: Timestamp) -> Result<(), StoreError> {
    tx.execute_script(HISTORY)?;
    let mut known: BTreeMap<&str, u32> = BTreeMap::new();
    for migration in migrations {
        let last = known.entry(migration.component).or_insert(0);
        *last += 1;
        let changed =
            || StoreError::MigrationChanged { component: migration.component.to_owned(), number: migration.number };
        if migration.number != *last {
            return Err(changed());
        }
        let sha256 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, migration.sql.as_bytes()));
        let applied = tx.query_opt(
            "SELECT sha256 FROM schema_history WHERE component = $1 AND number = $2",
            params![migration.component, migration.number],
            |row| row.get::<String>(0),
        )?;
        match applied {
            Some(found) if found == sha256 => {}
            Some(_) => return Err(changed()),
            None => {
                tx.execute_script(migration.sql)?;
                tx.execute(
                    "INSERT INTO schema_history (component, number, sha256, applied_at) VALUES ($1, $2, $3, $4)",
                    params![migration.component, migration.number, sha256, now],
                )?;
                tracing::info!(component = migration.component, number = migration.number, "schema migrated");
            }
        }
    }
    for (component, known) in known {
        let found =
            tx.query_one("SELECT MAX(number) FROM schema_history WHERE component = $1", params![component], |row| {
                row.get::<u32>(0)
            })?;
        if found > known {
            return Err(StoreError::NewerSchema { component: component.to_owned(), found, known });
        }
    }
    Ok(())
}
