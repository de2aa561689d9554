//! The program as a process: what it says and how it ends when its surroundings are wrong. One clear line, an exit code
//! that tells usage (2) from environment (3), nothing damaged (things-graph 11.6).

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const USAGE: i32 = 2;
const ENVIRONMENT: i32 = 3;

/// `marram up` alone on free ports; ended with the value.
struct Up(Child);

impl Up {
    fn command(data: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marram"));
        command.args(["up", "--no-core", "--no-demo", "--device-api", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
        command.args(["--data".as_ref(), data.as_os_str()]);
        command
    }

    /// Started and ready: its first line is the JSON of readiness.
    fn start(data: &Path) -> Up {
        let mut command = Up::command(data);
        let mut child = command.args(["--api", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the ready line is JSON");
        assert!(ready.is_object());
        Up(child)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The one line a failing start leaves.
fn only_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<&str> = text.lines().filter(|line| line.starts_with("marram: ")).collect();
    assert_eq!(complaints.len(), 1, "one line of complaint in {text:?}");
    complaints[0].to_owned()
}

#[test]
fn a_data_directory_belongs_to_one_process() {
    let data = tempfile::tempdir().unwrap();
    let first = Up::start(data.path());
    let second = Up::command(data.path()).args(["--api", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(second.status.code(), Some(ENVIRONMENT));
    assert!(only_line(&second).contains("in use"), "{}", only_line(&second));
    drop(first);
    // Nothing of the refused start stands in the way of the next one.
    drop(Up::start(data.path()));
}

#[test]
fn a_port_in_use_is_named() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Up::command(data.path()).args(["--api", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(ENVIRONMENT));
    assert!(only_line(&output).contains(&address), "{}", only_line(&output));
}

#[test]
fn a_setting_that_cannot_be_is_usage() {
    let data = tempfile::tempdir().unwrap();
    let output = Up::command(data.path()).args(["--api", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(USAGE));
    let mut said = String::new();
    output.stderr.as_slice().read_to_string(&mut said).unwrap();
    assert!(said.contains("--api"), "{said}");
}
