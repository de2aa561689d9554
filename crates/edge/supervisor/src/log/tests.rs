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

/// CR 2.8: a component that floods its log is limited; what was lost is counted, and its last words are there once it ends or falls silent.
#[test]
fn a_flood_is_limited() {
    const ALL: usize = 50_000;
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::new(LogSettings { file_size_kib: 1 << 20, ..LogSettings::new(dir.path()) });
    let log = logs.of("a");
    let text = || fs::read_to_string(dir.path().join("a.log")).unwrap();
    for number in 0..ALL {
        if number == ALL - 1000 {
            // However slow the machine is, these are too many.
            log.inner.lock().unwrap().budget = -1e9;
        }
        log.output(Level::Info, "stdout", "s", &format!("line {number}"));
    }
    log.output(Level::Error, "stderr", "s", "the reason");
    assert!(log.is_dropping() && !text().contains("the reason"));
    log.pause();
    assert!(!log.is_dropping());
    let text = text();
    let mut end = text.lines().rev();
    assert!(end.next().unwrap().contains("[ERROR] (Copier) a: stderr. the reason. "));
    for number in (ALL - 49..ALL).rev() {
        assert!(end.next().unwrap().contains(&format!(" stdout. line {number}. ")), "{number}");
    }
    let told = end.next().unwrap();
    let written = text.lines().filter(|line| line.contains(" stdout. line ")).count();
    assert!(told.contains("output-dropped") && written <= ALL - 950, "{told} {written}");
    let lost = |line: &str| line.split(" lines were dropped").next()?.rsplit(' ').next()?.parse::<usize>().ok();
    assert_eq!(text.lines().filter_map(lost).sum::<usize>(), ALL - written, "each line is there or counted");
    log.pause();
    assert_eq!(fs::read_to_string(dir.path().join("a.log")).unwrap(), text, "once");
}
