//! What the store promises to concurrent callers inside one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use marram_store::{Constraint, Migration, SqlValue, Store, StoreError, StoreOptions, Tx, params};
use marram_types::Timestamp;

const SCHEMA: &[Migration] = &[Migration {
    component: "test",
    number: 1,
    sql: "CREATE TABLE item (name TEXT PRIMARY KEY, amount BIGINT NOT NULL, body BLOB) WITHOUT ROWID;
          CREATE TABLE total (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL);
          INSERT INTO total VALUES (1, 0);",
}];

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    store.migrate(SCHEMA).unwrap();
    (dir, store)
}

fn insert(tx: &mut Tx<'_>, name: &str, amount: i64) -> Result<(), StoreError> {
    tx.execute("INSERT INTO item (name, amount) VALUES ($1, $2)", params![name, amount])?;
    tx.execute("UPDATE total SET amount = amount + $1 WHERE id = 1", params![amount])?;
    Ok(())
}

fn count_and_total(store: &Store) -> (i64, i64) {
    store
        .read(|s| {
            let count = s.query_one("SELECT COUNT(*) FROM item", &[], |row| row.get(0))?;
            let total = s.query_one("SELECT amount FROM total", &[], |row| row.get(0))?;
            Ok::<(i64, i64), StoreError>((count, total))
        })
        .unwrap()
}

/// Many concurrent writers share commits; those that fail or panic are undone alone, and everybody hears the truth.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_closure_is_undone_alone() {
    let (_dir, store) = open();
    let after = Arc::new(AtomicU64::new(0));
    let mut calls = Vec::new();
    for n in 0..600_i64 {
        let (store, after) = (store.clone(), Arc::clone(&after));
        calls.push(tokio::spawn(async move {
            let answer = store
                .write(move |tx| {
                    let after = Arc::clone(&after);
                    tx.after_commit(move || {
                        after.fetch_add(1, Ordering::SeqCst);
                    });
                    insert(tx, &format!("item-{n}"), 1)?;
                    match n % 3 {
                        0 => Ok(n),
                        1 => Err(StoreError::NoRow),
                        _ => panic!("a bug in one transaction"),
                    }
                })
                .await;
            match n % 3 {
                0 => assert_eq!(answer, Ok(n)),
                1 => assert_eq!(answer, Err(StoreError::NoRow)),
                _ => assert_eq!(answer, Err(StoreError::Panicked)),
            }
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(count_and_total(&store), (200, 200));
    assert_eq!(after.load(Ordering::SeqCst), 200);
    let stats = store.stats();
    assert_eq!(stats.failed_commits, 0);
    assert!(stats.commits < stats.transactions, "{stats:?}: callers did not share commits");
}

/// A snapshot does not move while it is looked at, and a transaction sees its own writes.
#[tokio::test(flavor = "multi_thread")]
async fn snapshots_stand_still() {
    let (_dir, store) = open();
    let writer = store.clone();
    store
        .read(|s| {
            let sum = "SELECT COUNT(*) FROM item";
            let before: i64 = s.query_one(sum, &[], |row| row.get(0))?;
            std::thread::scope(|scope| {
                scope.spawn(|| writer.write_blocking(|tx| insert(tx, "new", 5)).unwrap());
            });
            let after: i64 = s.query_one(sum, &[], |row| row.get(0))?;
            assert_eq!((before, after), (0, 0));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let seen = store
        .write(|tx| {
            insert(tx, "mine", 7)?;
            tx.query_opt("SELECT amount FROM item WHERE name = $1", params!["mine"], |row| row.get::<i64>(0))
        })
        .await;
    assert_eq!(seen, Ok::<_, StoreError>(Some(7)));
    assert_eq!(count_and_total(&store), (2, 12));
}

/// `$n` binds by number whatever the order of appearance, and wrong counts are refused.
#[tokio::test]
async fn placeholders_bind_by_number() {
    let (_dir, store) = open();
    store
        .write(|tx| {
            tx.execute("INSERT INTO item (amount, name, body) VALUES ($2, $1, $3)", params!["a", 4_i64, [1_u8, 2]])?;
            let row = tx.query_one(
                "SELECT name, amount, body, $2 || $1 || $2 FROM item WHERE amount < $3 AND name = $1",
                params!["a", "x", 5_u32],
                |row| {
                    Ok::<_, StoreError>((
                        row.get::<String>(0)?,
                        row.get::<Timestamp>(1)?,
                        row.get::<[u8; 2]>(2)?,
                        row.text(3)?.to_owned(),
                    ))
                },
            )?;
            assert_eq!(row, ("a".to_owned(), Timestamp::from_micros(4), [1, 2], "xax".to_owned()));
            for (sql, values) in [
                ("SELECT 1 WHERE $1 = 1", vec![]),
                ("SELECT 1 WHERE $1 = 1", vec![SqlValue::Null, SqlValue::Null]),
                ("SELECT 1 WHERE ?1 = 1", vec![SqlValue::Null]),
                ("SELEC 1", vec![]),
            ] {
                let answer = tx.query_opt(sql, &values, |_| Ok::<_, StoreError>(()));
                assert!(matches!(answer, Err(StoreError::Statement(_))), "{sql}: {answer:?}");
            }
            let wrong = tx.query_one("SELECT name FROM item", &[], |row| row.get::<i64>(0));
            assert_eq!(wrong, Err(StoreError::Column { column: 0, expected: "an integer" }));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn broken_constraints_are_named() {
    let (_dir, store) = open();
    let twice = store.write(|tx| insert(tx, "a", 1).and_then(|()| insert(tx, "a", 1))).await;
    assert!(twice.as_ref().is_err_and(StoreError::is_unique_violation), "{twice:?}");
    let null = store.write(|tx| tx.execute("INSERT INTO item (name) VALUES ($1)", params!["b"])).await;
    assert!(matches!(null, Err(StoreError::Constraint { rule: Constraint::Other, .. })), "{null:?}");
    assert_eq!(count_and_total(&store), (0, 0));
}

/// A second opener gets one clear error; offline tools may read beside the owner; the lock goes with its holder.
#[tokio::test]
async fn one_process_owns_the_directory() {
    let (dir, store) = open();
    store.write(|tx| insert(tx, "a", 1)).await.unwrap();
    let second = Store::open(dir.path(), StoreOptions::default()).err();
    assert_eq!(second, Some(StoreError::Locked { dir: dir.path().to_owned() }));
    let reader = Store::open_read_only(dir.path(), StoreOptions::default()).unwrap();
    assert_eq!(count_and_total(&reader), (1, 1));
    assert_eq!(reader.write(|tx| insert(tx, "b", 1)).await, Err(StoreError::ReadOnly));
    store.close();
    assert_eq!(store.write(|tx| insert(tx, "b", 1)).await, Err(StoreError::Closed));
    drop(store);
    let again = Store::open(dir.path(), StoreOptions::default()).unwrap();
    assert_eq!(count_and_total(&again), (1, 1));
}

/// Only the owner can read the files (SEC 12.1: at rest).
#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let store = Store::open(&dir, StoreOptions::default()).unwrap();
    store.migrate(SCHEMA).unwrap();
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
}

/// dependencies.md 2.6: migrations are numbered, remembered by checksum, and a newer schema is refused.
#[test]
fn migrations_are_applied_once_and_guarded() {
    let (dir, store) = open();
    store.migrate(SCHEMA).unwrap();
    let second = Migration { component: "test", number: 2, sql: "CREATE TABLE more (id BIGINT PRIMARY KEY)" };
    let broken = Migration { component: "test", number: 3, sql: "CREATE TABLE third (id BIGINT); CREATE TABL x" };
    assert!(matches!(store.migrate(&[SCHEMA[0], second, broken]), Err(StoreError::Statement(_))));
    store.migrate(&[SCHEMA[0], second]).unwrap();
    drop(store);
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let newer = StoreError::NewerSchema { component: "test".to_owned(), found: 2, known: 1 };
    assert_eq!(store.migrate(SCHEMA), Err(newer));
    let changed = |number| Err(StoreError::MigrationChanged { component: "test".to_owned(), number });
    assert_eq!(store.migrate(&[SCHEMA[0], Migration { sql: "CREATE TABLE other (id BIGINT)", ..second }]), changed(2));
    assert_eq!(store.migrate(&[SCHEMA[0], Migration { number: 3, ..second }]), changed(3));
}

/// A database that is not one says so, instead of being overwritten.
#[test]
fn a_damaged_file_is_reported() {
    let (dir, store) = open();
    drop(store);
    std::fs::write(dir.path().join("marram.db"), vec![0x5a; 8192]).unwrap();
    let answer = Store::open(dir.path(), StoreOptions::default());
    assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
    assert_eq!(std::fs::read(dir.path().join("marram.db")).unwrap(), vec![0x5a; 8192]);
}

/// A size limit answers `NoSpace`, loses only what did not fit, and room makes writes work again.
#[tokio::test]
async fn no_space_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { max_bytes: Some(256 << 10), ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    store.migrate(SCHEMA).unwrap();
    let put = |n: u32| {
        store.write(move |tx| {
            tx.execute("INSERT INTO item VALUES ($1, 1, $2)", params![format!("{n:05}"), vec![7_u8; 3000]])
        })
    };
    let mut stored = 0;
    let full = loop {
        match put(stored).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, StoreError::NoSpace);
    assert_eq!(count_and_total(&store).0, i64::from(stored));
    store.write(|tx| tx.execute("DELETE FROM item WHERE name < $1", params!["00020"])).await.unwrap();
    put(0).await.unwrap();
}

fn names(store: &Store) -> i64 {
    store
        .read(|s| s.query_one("SELECT COUNT(*) FROM item", &[], |row| row.get(0)))
        .unwrap_or_else(|e: StoreError| panic!("{e}"))
}

/// Reads go on from a snapshot that stands, but never behind what was answered before; what is written in the background
/// is seen within milliseconds, and at once after a refresh.
#[test]
fn standing_snapshots_never_hide_what_was_answered() {
    let (_dir, store) = open();
    for n in 0..200 {
        assert_eq!(names(&store), n);
        store.write_blocking(move |tx| insert(tx, &format!("item-{n}"), 1)).unwrap();
    }
    for n in 200..220 {
        store.write_background(move |tx| insert(tx, &format!("item-{n}"), 1)).unwrap();
        store.refresh();
        assert_eq!(names(&store), n + 1);
    }
    store.write_background(|tx| insert(tx, "behind", 1)).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while names(&store) != 221 {
        assert!(std::time::Instant::now() < deadline, "background writes are never seen");
        std::thread::yield_now();
    }
}

/// Busy readers do not keep the write-ahead log from being emptied.
#[test]
fn the_log_does_not_grow_under_readers() {
    let (dir, store) = open();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    names(&store);
                }
            })
        })
        .collect();
    for n in 0..160_i64 {
        store
            .write_background(move |tx| {
                let body = vec![7_u8; 1 << 20];
                tx.execute("DELETE FROM item", &[])?;
                tx.execute("INSERT INTO item VALUES ($1, 1, $2)", params![format!("big-{n}"), body]).map(drop)
            })
            .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let log = std::fs::metadata(dir.path().join("marram.db-wal")).unwrap().len();
    assert!(log < 96 << 20, "{log} bytes after 160 MiB");
}
