//! Start-up time and memory of a command and its descendants.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::client::{connector, parse_url};

/// Longest wait for readiness.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts `command`, waits until it is ready, reads its memory, ends it; prints one line.
pub async fn measure(command: &str, ready: &str, settle: Duration) -> Result<()> {
    let started = Instant::now();
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {command}"))?;
    let outcome = tokio::time::timeout(PATIENCE, wait_ready(&mut child, ready)).await;
    let ready_ms = started.elapsed().as_secs_f64() * 1000.0;
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error),
        Err(_) => bail!("{command} was not ready within {} s", PATIENCE.as_secs()),
    }
    tokio::time::sleep(settle).await;
    let root = child.id().context("the command has ended")?;
    let (pss_kib, processes) = memory(root);
    println!(
        "{}",
        json!({"bench": "api", "op": "start", "command": command, "ready_ms": (ready_ms * 10.0).round() / 10.0,
            "pss_kib": pss_kib, "processes": processes})
    );
    end(&mut child, root).await
}

async fn wait_ready(child: &mut Child, ready: &str) -> Result<()> {
    if ready == "stdout" {
        let stdout = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        if lines.next_line().await?.is_none() {
            bail!("the command ended without a line");
        }
        // The rest must go somewhere, or the command would block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Ok(());
    }
    if let Some(mut stdout) = child.stdout.take() {
        tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
    }
    loop {
        if answers(ready).await.unwrap_or(false) {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("the command ended: {status}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// `GET url` answers 200.
async fn answers(url: &str) -> Result<bool> {
    let (host, port, encrypted) = parse_url(url)?;
    let path = url.splitn(4, '/').nth(3).unwrap_or("");
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n");
    let mut socket = TcpStream::connect((host.as_str(), port)).await?;
    let mut first = [0; 12];
    if encrypted {
        let mut stream = connector()?.connect(&host, socket).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_exact(&mut first).await?;
    } else {
        socket.write_all(request.as_bytes()).await?;
        socket.read_exact(&mut first).await?;
    }
    Ok(first.ends_with(b" 200"))
}

/// Sum of the proportional set sizes of a process tree in KiB, and the number of processes.
fn memory(root: u32) -> (u64, usize) {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(process) = tree.get(next).copied() {
        tree.extend(children(process));
        next += 1;
    }
    let pss = tree.iter().filter_map(|process| pss_kib(*process)).sum();
    (pss, tree.len())
}

fn children(process: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Processor time a process has taken so far, in seconds; the kernel counts hundredths.
pub fn processor_seconds(process: u32) -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold blanks; user and system time are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

/// Proportional set size of one process in KiB.
pub fn pss_kib(process: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Asks politely first, so that the command can close its files.
async fn end(child: &mut Child, root: u32) -> Result<()> {
    let asked = Command::new("kill").args(["-TERM", &root.to_string()]).status().await?;
    if asked.success() && tokio::time::timeout(Duration::from_secs(10), child.wait()).await.is_ok() {
        return Ok(());
    }
    child.kill().await.context("end the command")
}
