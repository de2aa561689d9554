//! Many mTLS connections: what they cost while idle, and how fast they come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::wire::Wire;
use super::{Options, Target, cpu_of};

/// Handshakes in flight.
const PARALLEL: usize = 32;
/// Connections opened first, so that the process has grown to its working size.
const WARM_UP: usize = 200;
/// Brokers tidy up after a while of silence; ours after ten seconds.
const SETTLE: Duration = Duration::from_secs(13);

fn runtime(options: &Options) -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads).enable_all().build()?)
}

async fn open(target: &Arc<Target>, range: std::ops::Range<usize>, subscribe: bool) -> anyhow::Result<Vec<Wire>> {
    let mut opening = JoinSet::new();
    let mut open = Vec::with_capacity(range.len());
    for number in range {
        if opening.len() >= PARALLEL
            && let Some(done) = opening.join_next().await
        {
            open.push(done??);
        }
        let target = Arc::clone(target);
        opening.spawn(async move {
            let mut wire = Wire::connect(&target, &format!("idle-{number}")).await?;
            if subscribe {
                wire.subscribe(&format!("bench/devices/{number}/commands"), 1).await?;
            }
            anyhow::Ok(wire)
        });
    }
    while let Some(done) = opening.join_next().await {
        open.push(done??);
    }
    Ok(open)
}

/// A copy that can be shared by tasks; the child process stays with the original.
fn shared(target: &Target) -> Arc<Target> {
    Arc::new(Target {
        name: target.name.clone(),
        address: target.address,
        pid: target.pid,
        tls: target.tls.clone(),
        _ours: None,
    })
}

/// Growth of resident memory per connection with one subscription.
pub(super) fn idle(target: &Target, options: &Options) -> anyhow::Result<Value> {
    runtime(options)?.block_on(async {
        let shared = shared(target);
        let warm = open(&shared, 0..WARM_UP, true).await?;
        tokio::time::sleep(SETTLE).await;
        let (before, _) = target.memory().context("--pid of the broker is needed")?;
        let idle = open(&shared, WARM_UP..WARM_UP + options.connections, true).await?;
        tokio::time::sleep(SETTLE).await;
        let (after, _) = target.memory().context("the broker is gone")?;
        let bytes = (after.saturating_sub(before) * 1024) as f64 / idle.len() as f64;
        drop(warm);
        Ok(json!({ "connections": idle.len(), "bytes_per_connection": bytes.round() }))
    })
}

/// Connects per second, 32 at a time, the processor time of both sides per connect, and the median time of one alone.
pub(super) fn connects(target: &Target, options: &Options) -> anyhow::Result<Value> {
    runtime(options)?.block_on(async {
        let shared = shared(target);
        drop(open(&shared, 0..WARM_UP, false).await?);
        let mut alone = Vec::new();
        for number in 0..100 {
            let start = Instant::now();
            let wire = Wire::connect(&shared, &format!("alone-{number}")).await?;
            alone.push(start.elapsed());
            drop(wire);
        }
        alone.sort_unstable();
        let (spent, own) = (target.cpu(), cpu_of("self"));
        let start = Instant::now();
        let all = open(&shared, 0..options.connections, false).await?;
        let rate = all.len() as f64 / start.elapsed().as_secs_f64();
        let each = |before: Option<f64>, after: Option<f64>| Some((after? - before?) / all.len() as f64 * 1e6);
        Ok(json!({
            "broker_cpu_us": each(spent, target.cpu()).map(f64::round),
            "generator_cpu_us": each(own, cpu_of("self")).map(f64::round),
            "connections": all.len(),
            "connects_per_s": rate.round(),
            "connect_p50_us": alone[alone.len() / 2].as_secs_f64() * 1e6,
        }))
    })
}
