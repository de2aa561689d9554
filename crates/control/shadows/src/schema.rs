//! Table of shadows. A deleted one keeps its version for a while, without a document.

use marram_store::Migration;

/// The schema; hand it to `Store::migrate`.
pub const MIGRATIONS: &[Migration] = &[Migration { component: "shadows", number: 1, sql: FIRST }];

const FIRST: &str = "
CREATE TABLE iot_shadow (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL, name TEXT NOT NULL,
    document TEXT, version BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing, name)
) WITHOUT ROWID;
CREATE INDEX iot_shadow_deleted ON iot_shadow (updated_at) WHERE document IS NULL;
";
