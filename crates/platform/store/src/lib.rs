//! Transactional storage: SQLite engine, migrations, group commit.
