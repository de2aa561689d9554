//! Log lines and files as other programs expect them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use marram_types::Timestamp;

use super::*;

fn entry<'a>(script: Option<&'a str>, message: &'a str) -> Entry<'a> {
    Entry {
        at: Timestamp::parse_rfc3339("2026-07-20T10:11:12.345Z").unwrap(),
        level: Level::Info,
        event: "stdout",
        message,
        script,
        component: "com.example.A",
        state: "RUNNING",
    }
}

/// CR 7.7: both forms to the byte.
#[test]
fn lines_have_the_documented_forms() {
    let script = Some("services.com.example.A.lifecycle.Run.Script");
    assert_eq!(
        entry(script, "hello").line(LogFormat::Text),
        "2026-07-20T10:11:12.345Z [INFO] (Copier) com.example.A: stdout. hello. \
         {scriptName=services.com.example.A.lifecycle.Run.Script, serviceName=com.example.A, currentState=RUNNING}\n"
    );
    assert_eq!(
        entry(script, "a \"b\"\\").line(LogFormat::Json),
        "{\"thread\":\"Copier\",\"level\":\"INFO\",\"eventType\":\"stdout\",\"message\":\"a \\\"b\\\"\\\\\",\
         \"contexts\":{\"scriptName\":\"services.com.example.A.lifecycle.Run.Script\",\
         \"serviceName\":\"com.example.A\",\"currentState\":\"RUNNING\"},\"loggerName\":\"com.example.A\",\
         \"timestamp\":1784542272345,\"cause\":null}\n"
    );
    let parsed: serde_json::Value = serde_json::from_str(&entry(None, "x").line(LogFormat::Json)).unwrap();
    assert_eq!(parsed["contexts"]["currentState"], "RUNNING");
}

/// CR 7.7: private files, moved aside when full, the oldest removed when the component's share is used up.
#[test]
fn files_are_private_rotated_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("logs");
    let settings = LogSettings { file_size_kib: 1, total_size_kib: 3, ..LogSettings::new(&directory) };
    let logs = Logs::new(settings);
    logs.of("a_b").note(Level::Info, "test", "of another component");
    for number in 0..100 {
        logs.of("a").note(Level::Info, "test", &format!("line {number:03} {}", "x".repeat(100)));
    }
    let mut names: Vec<String> = Vec::new();
    let mut bytes = 0;
    for found in fs::read_dir(&directory).unwrap() {
        let found = found.unwrap();
        assert_eq!(found.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        names.push(found.file_name().into_string().unwrap());
        bytes += found.metadata().unwrap().len();
    }
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(names.contains(&"a_b.log".to_owned()));
    assert!(bytes < 5 * 1024, "{bytes} in {names:?}");
    let rotated: Vec<_> = names.iter().filter(|name| name.starts_with("a_20")).collect();
    assert!((2..=3).contains(&rotated.len()), "{names:?}");
    assert!(fs::read_to_string(directory.join("a.log")).unwrap().contains("line 099"));
    logs.of("a").note(Level::Debug, "test", "not kept at INFO");
    assert!(!fs::read_to_string(directory.join("a.log")).unwrap().contains("not kept"));
}

/// CR 2.8: a component that floods its log is limited; what was lost is counted.
#[test]
fn a_flood_is_limited() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::new(LogSettings { file_size_kib: 1 << 20, ..LogSettings::new(dir.path()) });
    let log = logs.of("a");
    for _ in 0..30_000 {
        log.output(Level::Info, "stdout", "s", "x");
    }
    let lines = fs::read_to_string(dir.path().join("a.log")).unwrap().lines().count();
    assert!((10_000..25_000).contains(&lines), "{lines}");
    assert!(log.inner.lock().unwrap().dropped > 0);
}
