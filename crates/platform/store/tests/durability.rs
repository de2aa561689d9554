//! What the store promises across kill -9 and full disks. The victims are child processes of this test binary.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use marram_store::{Migration, Store, StoreError, StoreOptions, params};
use marram_types::random_u64;

const SCHEMA: &[Migration] = &[Migration {
    component: "test",
    number: 1,
    sql: "CREATE TABLE left_side (id BIGINT PRIMARY KEY, body BLOB NOT NULL);
          CREATE TABLE right_side (id BIGINT PRIMARY KEY);",
}];

/// Set for a child: the data directory it works on.
const DIR: &str = "MARRAM_TEST_STORE_DIR";

/// The victim: eight writers that print each id after its commit is acknowledged. Does nothing when run by itself.
#[test]
fn child_writes_forever() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = Store::open(&dir, StoreOptions::default()).unwrap();
    store.migrate(SCHEMA).unwrap();
    let first: i64 = store
        .read(|s| s.query_one("SELECT COALESCE(MAX(id), 0) + 1 FROM left_side", &[], |row| row.get(0)))
        .unwrap_or_else(|error: StoreError| panic!("{error}"));
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                for id in (first + lane..).step_by(8) {
                    store.write_blocking(move |tx| pair(tx, id)).unwrap();
                    writeln!(std::io::stdout(), "ack {id}").unwrap();
                }
            });
        }
    });
}

fn pair(tx: &mut marram_store::Tx<'_>, id: i64) -> Result<(), StoreError> {
    tx.execute("INSERT INTO left_side VALUES ($1, $2)", params![id, vec![id as u8; 500]])?;
    tx.execute("INSERT INTO right_side VALUES ($1)", params![id])?;
    Ok(())
}

fn child(test: &str, dir: &Path, shell_prefix: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    Command::new("sh")
        .arg("-c")
        .arg(format!("{shell_prefix} exec \"$0\" --exact {test} --nocapture"))
        .arg(program)
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn acknowledged(line: &str) -> Option<i64> {
    line.strip_prefix("ack ")?.trim().parse().ok()
}

/// Kill -9 at random moments: every acknowledged pair is there, and no pair is torn.
#[test]
fn kill_loses_nothing_acknowledged_and_tears_nothing() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(random_u64);
    println!("seed {seed}");
    let mut state = seed | 1;
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged_ids = Vec::new();
    for _ in 0..8 {
        // xorshift64: which acknowledgement is the last the victim lives to see.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let mut victim = child("child_writes_forever", dir.path(), "");
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut left = 1 + state % 400;
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some(id) = acknowledged(&line) {
                acknowledged_ids.push(id);
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        assert_eq!(left, 0, "the victim stopped by itself");
        victim.kill().unwrap();
        // What was printed before the kill was acknowledged too.
        acknowledged_ids.extend(lines.map_while(Result::ok).filter_map(|line| acknowledged(&line)));
        victim.wait().unwrap();

        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        store
            .read(|s| {
                for id in &acknowledged_ids {
                    let found = s.query_opt("SELECT body FROM left_side WHERE id = $1", params![*id], |row| {
                        Ok::<_, StoreError>(row.blob(0)? == vec![*id as u8; 500])
                    })?;
                    assert_eq!(found, Some(true), "pair {id} was acknowledged");
                }
                let torn: i64 = s.query_one(
                    "SELECT (SELECT COUNT(*) FROM left_side WHERE id NOT IN (SELECT id FROM right_side))
                          + (SELECT COUNT(*) FROM right_side WHERE id NOT IN (SELECT id FROM left_side))",
                    &[],
                    |row| row.get(0),
                )?;
                assert_eq!(torn, 0);
                Ok::<_, StoreError>(())
            })
            .unwrap();
    }
}

/// The victim of the file-size limit: writes until refused, reports, waits for room, writes again.
#[test]
fn child_meets_a_file_size_limit() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = Store::open(&dir, StoreOptions::default()).unwrap();
    store.migrate(SCHEMA).unwrap();
    let mut id = 1;
    let error = loop {
        match store.write_blocking(move |tx| pair(tx, id)) {
            Ok(()) => id += 1,
            Err(error) => break error,
        }
    };
    let reads: i64 = store
        .read(|s| s.query_one("SELECT COUNT(*) FROM left_side", &[], |row| row.get(0)))
        .unwrap_or_else(|error: StoreError| panic!("{error}"));
    println!("\nrefused {error:?} after {} of {reads}", id - 1);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    let wider = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, wider).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = store.write_blocking(move |tx| pair(tx, id)) {
        assert!(Instant::now() < deadline, "still {error} with room again");
    }
    println!("\nrecovered");
}

/// A limit on file size stands for a full disk: one clear error, reads go on, nothing acknowledged is lost, and
/// writes work again in the same process once there is room.
#[test]
fn a_full_disk_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    // 512-byte blocks; the signal is ignored so that the write call answers EFBIG, as a quota would.
    let victim = child("child_meets_a_file_size_limit", dir.path(), "trap '' XFSZ; ulimit -S -f 600;");
    let output = victim.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let refused = text.lines().find(|line| line.starts_with("refused")).unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<i64> = refused.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(refused.starts_with("refused NoSpace"), "{refused}");
    assert!(numbers[0] > 10 && numbers[0] == numbers[1], "{refused}");
    assert!(text.contains("recovered"), "{text}");
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let count: i64 = store
        .read(|s| s.query_one("SELECT COUNT(*) FROM right_side", &[], |row| row.get(0)).map_err(|e: StoreError| e))
        .unwrap();
    assert_eq!(count, numbers[0] + 1);
}
