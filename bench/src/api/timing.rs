//! Whether the time of a refusal tells something: DescribeThing of a name nobody has against one that only another
//! account has. The order of calls is random, so that drift hits both alike.
//!
//! The other account's keys come from `OTHER_AWS_ACCESS_KEY_ID` and `OTHER_AWS_SECRET_ACCESS_KEY` (`marram account create`).

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use super::client::{Keys, Target};
use super::{print, round};

/// Names of each kind; each is asked for about equally often.
const NAMES: usize = 16;

/// Calls before the measured ones.
const WARM_UP: usize = 500;

/// Share of the slowest calls left out of the means: interruptions by the system, not the server's work.
const TRIMMED: f64 = 0.05;

/// Runs `calls` calls of each kind over one connection and prints one line.
pub async fn run(target: &Target, calls: usize) -> Result<()> {
    let other = target.with_keys(Keys::from_prefixed_environment("OTHER_")?);
    let mut connection = other.connect().await?;
    let run = format!("t{:x}", std::process::id());
    // Same length and alphabet, so that nothing but the other account's row tells them apart.
    let names = |kind: char| (0..NAMES).map(|n| format!("/things/{run}-{kind}-{n:02}")).collect::<Vec<_>>();
    let (absent, foreign) = (names('a'), names('f'));
    for path in &foreign {
        let status = connection.call("POST", path, b"{}").await?;
        ensure!(status == 200, "CreateThing in the other account answered {status}: {}", connection.body_text());
    }
    let mut connection = target.connect().await?;
    let mut micros = [Vec::with_capacity(calls), Vec::with_capacity(calls)];
    let mut texts = [String::new(), String::new()];
    // A request is signed anew now and then, long before its signature ages.
    let sign = |connection: &super::client::Connection, paths: &[String]| {
        paths.iter().map(|path| connection.sign("GET", path, b"")).collect::<Result<Vec<_>>>()
    };
    let mut requests = [sign(&connection, &absent)?, sign(&connection, &foreign)?];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    for number in 0..2 * calls + WARM_UP {
        if number % 100_000 == 99_999 {
            requests = [sign(&connection, &absent)?, sign(&connection, &foreign)?];
        }
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let kind = (state >> 20) as usize % 2;
        let request = &requests[kind][(state >> 32) as usize % NAMES];
        let sent = Instant::now();
        let status = connection.exchange(request).await?;
        let took = sent.elapsed().as_nanos() as f64 / 1000.0;
        ensure!(status == 404, "DescribeThing answered {status}: {}", connection.body_text());
        if number >= WARM_UP {
            micros[kind].push(took);
        } else {
            let name =
                [&absent, &foreign][kind][(state >> 32) as usize % NAMES].trim_start_matches("/things/").to_owned();
            texts[kind] = connection.body_text().replace(&name, "NAME");
        }
    }
    let [absent, foreign] = micros.map(|mut sample| {
        sample.sort_by(f64::total_cmp);
        Sample::of(&sample)
    });
    let difference = foreign.mean - absent.mean;
    let error = (absent.variance / absent.count + foreign.variance / foreign.count).sqrt();
    print(json!({
        "bench": "api",
        "target": target.name(),
        "op": "DescribeThing timing",
        "calls": [absent.count, foreign.count],
        "same_answer": texts[0] == texts[1],
        "median_us": {"not_existing": round(absent.median), "other_account": round(foreign.median)},
        "mean_us": {"not_existing": round3(absent.mean), "other_account": round3(foreign.mean)},
        "difference_us": round3(difference),
        "confidence_95_us": round3(1.96 * error),
        "z": round3(difference / error),
    }));
    Ok(())
}

struct Sample {
    count: f64,
    median: f64,
    mean: f64,
    variance: f64,
}

impl Sample {
    /// Of sorted values; mean and variance without the slowest.
    fn of(sorted: &[f64]) -> Sample {
        let kept = &sorted[..(sorted.len() as f64 * (1.0 - TRIMMED)) as usize];
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Sample { count, median: sorted[sorted.len() / 2], mean, variance }
    }
}

fn round3(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
