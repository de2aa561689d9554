//! Saturation: publishers as fast as they can, subscribers that count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::wire::{Wire, publish_bytes};
use super::{Options, PATIENCE, Target};

/// Bytes a QoS 0 publisher writes at once.
const BATCH: usize = 32 * 1024;
const TOPIC: &str = "bench/plant/7/temperature";

/// Deliveries per second of `publishers` x `subscribers`.
pub(super) fn run(target: &Target, options: &Options, publishers: usize, subscribers: usize) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads).enable_all().build()?;
    runtime.block_on(async {
        let count = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..subscribers {
            let mut wire = Wire::connect(target, &format!("sub-{number}")).await?;
            wire.subscribe(TOPIC, options.qos).await?;
            tasks.spawn(subscribe(wire, Arc::clone(&count), Arc::clone(&stop)));
        }
        let bytes = publish_bytes(TOPIC, &vec![b'x'; options.payload], options.qos)?;
        for number in 0..publishers {
            let wire = Wire::connect(target, &format!("pub-{number}")).await?;
            let (bytes, stop, window) = (Arc::clone(&bytes), Arc::clone(&stop), options.window);
            if options.qos == 0 {
                tasks.spawn(flood(wire, bytes, stop));
            } else {
                tasks.spawn(acknowledged(wire, bytes, window, stop));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (start, before) = (Instant::now(), count.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let delivered = count.load(Ordering::Relaxed) - before;
        let rate = delivered as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        tasks.abort_all();
        let end = tokio::time::timeout(PATIENCE, async {
            while let Some(ended) = tasks.join_next().await {
                if let Ok(Err(error)) = ended {
                    return Err(error);
                }
            }
            Ok(())
        });
        end.await??;
        Ok(json!({
            "qos": options.qos,
            "payload": options.payload,
            "window": options.window,
            "deliveries_per_s": rate.round(),
        }))
    })
}

async fn subscribe(mut wire: Wire, count: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        wire.fill().await?;
        count.fetch_add(wire.take_messages()?, Ordering::Relaxed);
        if !wire.out.is_empty() {
            wire.flush().await?;
        }
    }
    Ok(())
}

async fn flood(mut wire: Wire, bytes: Arc<[u8]>, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let batch = bytes.repeat((BATCH / bytes.len()).max(1));
    while !stop.load(Ordering::Relaxed) {
        wire.out.extend_from_slice(&batch);
        wire.flush().await?;
        tokio::task::consume_budget().await;
    }
    Ok(())
}

async fn acknowledged(mut wire: Wire, bytes: Arc<[u8]>, window: usize, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    // One length byte up to 127 bytes of remaining length, two above; then the topic.
    let header = if bytes[1] & 0x80 == 0 { 2 } else { 3 };
    let id_at = header + 2 + TOPIC.len();
    let (mut next, mut unacknowledged) = (0_u16, 0);
    while !stop.load(Ordering::Relaxed) {
        while unacknowledged < window {
            next = next % u16::MAX + 1;
            let start = wire.out.len();
            wire.out.extend_from_slice(&bytes);
            wire.out[start + id_at..start + id_at + 2].copy_from_slice(&next.to_be_bytes());
            unacknowledged += 1;
        }
        wire.flush().await?;
        wire.fill().await?;
        unacknowledged -= wire.take_acks()?.min(unacknowledged);
    }
    Ok(())
}
