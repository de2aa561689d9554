//! Modbus RTU against a bus of units on the other end of a pseudo-terminal, with framing of its own (TG 10.3, CC 15.5).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use marram_expr::DataType;
use marram_flow::program::Site;
use marram_flow_runtime::{Durability, RuntimeOptions};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::common::*;
use crate::connector::run;

/// The one unit that answers.
const UNIT: u8 = 7;
/// The other end of the line may be closed for this long between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// CRC-16/MODBUS, bit by bit, as the serial line guide draws it.
fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
        }
    }
    crc.to_le_bytes()
}

/// What the bus saw.
#[derive(Default)]
struct Seen {
    registers: BTreeMap<u16, u16>,
    /// Unit and function of every request.
    requests: Vec<(u8, u8)>,
    /// Shortest time between an answer and the request after it.
    shortest_gap: Option<Duration>,
}

/// Opens a line; answers its device file. The units live as long as the test.
fn bus(seen: Arc<Mutex<Seen>>) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    std::thread::spawn(move || units(File::from(master), &seen));
    path
}

fn units(mut line: File, seen: &Mutex<Seen>) {
    let (mut frame, mut buffer, mut answered) = (Vec::new(), [0; 256], None::<Instant>);
    loop {
        match line.read(&mut buffer) {
            Ok(count) => frame.extend_from_slice(&buffer[..count]),
            // Nobody has the line open.
            Err(_) => std::thread::sleep(LOOK),
        }
        let wanted = match frame.get(1) {
            Some(16) => frame.get(6).map_or(usize::MAX, |count| 9 + usize::from(*count)),
            _ => 8,
        };
        if frame.len() < wanted {
            continue;
        }
        let request: Vec<u8> = frame.drain(..wanted).collect();
        let (body, check) = request.split_at(wanted - 2);
        assert_eq!(crc(body), check, "{request:?}");
        let mut seen = seen.lock().unwrap();
        seen.requests.push((body[0], body[1]));
        if let Some(gap) = answered.take().map(|at| at.elapsed()) {
            seen.shortest_gap = Some(seen.shortest_gap.map_or(gap, |known| known.min(gap)));
        }
        let word = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let mut answer = match body[1] {
            3 => {
                let known: Option<Vec<u16>> =
                    (word(2)..word(2) + word(4)).map(|at| seen.registers.get(&at).copied()).collect();
                match known {
                    Some(words) => {
                        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
                        [&[body[0], 3, bytes.len() as u8], bytes.as_slice()].concat()
                    }
                    None => vec![body[0], 0x83, 2],
                }
            }
            16 => {
                let words: Vec<u16> = (0..usize::from(word(4))).map(|index| word(7 + 2 * index)).collect();
                seen.registers.extend((word(2)..).zip(words));
                body[..6].to_vec()
            }
            _ => vec![body[0], body[1] | 0x80, 1],
        };
        if body[0] == UNIT {
            answer.extend(crc(&answer));
            // Before the answer leaves: a master that sees it early is never taken for one that hurries.
            answered = Some(Instant::now());
            line.write_all(&answer).unwrap();
        }
    }
}

/// TG 10.3, 6.5, CC 15.5: a value written over the line is the value read; exceptions, silent units and lines that are not
/// there have their errors and leave the bus usable; a broadcast waits for no answer; frames keep their distance.
#[tokio::test]
async fn modbus_values_travel_over_a_serial_line() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let endpoint = format!("rtu:{}?baud=2400&parity=even&timeout=2000", bus(Arc::clone(&seen)));
    let dir = tempfile::tempdir().unwrap();
    let options = RuntimeOptions {
        durability: Durability::ProcessDeath,
        on_core: true,
        ..RuntimeOptions::new(dir.path().join("flows"))
    };
    let world = world(options).await;
    let both = || {
        flow()
            .variable("r", DataType::Float32)
            .step(S { name: "write", action: "dose", args: &[("litres", "${2.5}")], out: &["done"], ..S::default() })
            .step(S { name: "read", when: "done", action: "sample", result: "r", ..S::default() })
    };
    let deploy = |site: Site, flow: support::Build| world.runtime.deploy(deployment_on(site, flow.flow, vec![]));

    deploy(modbus_site(&endpoint, UNIT, UNIT), both()).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["ACTIVITY_SUCCEEDED"]["value"], 2.5, "{said:?}");
    assert_eq!(seen.lock().unwrap().registers[&100], 0x4020);
    // Eleven bits a character: 16.04 ms at this speed.
    let gap = seen.lock().unwrap().shortest_gap.unwrap();
    assert!(gap >= Duration::from_secs_f64(3.5 * 11.0 / 2_400.0), "{gap:?}");

    let one = |action| flow().step(S { name: "read", action, ..S::default() });
    deploy(modbus_site(&endpoint, UNIT, UNIT), one("ping")).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.ModbusException");
    assert_eq!(said["EXECUTION_FAILED"]["errorMessage"], "fc=3 code=2");

    deploy(modbus_site(&endpoint, 9, UNIT), one("sample")).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.ModbusIO");
    assert!(said["EXECUTION_FAILED"]["errorMessage"].to_string().contains("unit 9 did not answer"), "{said:?}");

    // Everybody hears it, nobody answers; the unit has it.
    seen.lock().unwrap().registers.clear();
    deploy(modbus_site(&endpoint, UNIT, 0), both()).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["ACTIVITY_SUCCEEDED"]["value"], 2.5, "{said:?}");
    assert!(seen.lock().unwrap().requests.ends_with(&[(0, 16), (UNIT, 3)]));

    deploy(modbus_site("rtu:/dev/no-such-line", UNIT, UNIT), one("sample")).await.unwrap();
    assert_eq!(run(&world).await["EXECUTION_FAILED"]["error"], "TG.ModbusIO");
    world.runtime.shutdown().await;
}

/// TG 7.1: the control plane has no serial lines.
#[tokio::test]
async fn serial_lines_belong_to_cores() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let endpoint = format!("rtu:{}", bus(Arc::clone(&seen)));
    let dir = tempfile::tempdir().unwrap();
    let options =
        RuntimeOptions { durability: Durability::ProcessDeath, ..RuntimeOptions::new(dir.path().join("flows")) };
    let world = world(options).await;
    let read = flow().step(S { name: "read", action: "sample", ..S::default() });
    world.runtime.deploy(deployment_on(modbus_site(&endpoint, UNIT, UNIT), read.flow, vec![])).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.ModbusIO");
    assert!(said["EXECUTION_FAILED"]["errorMessage"].to_string().contains("not available"), "{said:?}");
    assert!(seen.lock().unwrap().requests.is_empty());
    world.runtime.shutdown().await;
}
