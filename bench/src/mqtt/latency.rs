//! Time of one message from publisher to subscriber at a steady, low rate. Blocking sockets, a thread each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::BytesMut;
use marram_mqtt::{
    Connect, Filter, Packet, PacketId, PublishHead, QoS, Subscribe, SubscribeOptions, TopicFilter, Version, decode,
    encode_publish,
};
use serde_json::{Value, json};

use super::{Options, PATIENCE, Target};

/// Time between two messages.
const PERIOD: Duration = Duration::from_micros(100);
const TOPIC: &str = "bench/latency";

struct Line {
    socket: TcpStream,
    read: BytesMut,
}

impl Line {
    fn open(target: &Target, client_id: &str) -> anyhow::Result<Self> {
        ensure!(target.tls.is_none(), "latency is measured without TLS");
        let socket = TcpStream::connect(target.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut line = Self { socket, read: BytesMut::new() };
        line.send(&Packet::Connect(Box::new(Connect::new(Version::V4, client_id))))?;
        ensure!(matches!(line.packet()?, Packet::ConnAck(_)), "not a CONNACK");
        Ok(line)
    }

    fn send(&mut self, packet: &Packet) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        packet.encode(Version::V4, &mut bytes)?;
        Ok(self.socket.write_all(&bytes)?)
    }

    fn packet(&mut self) -> anyhow::Result<Packet> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(packet) = decode(Version::V4, &mut self.read, 1 << 20)? {
                return Ok(packet);
            }
            let count = self.socket.read(&mut chunk)?;
            ensure!(count > 0, "closed by the broker");
            self.read.extend_from_slice(&chunk[..count]);
        }
    }
}

/// Percentiles in microseconds.
pub(super) fn run(target: &Target, options: &Options) -> anyhow::Result<Value> {
    let mut subscriber = Line::open(target, "latency-sub")?;
    let filter = Filter {
        filter: TopicFilter::new(TOPIC)?,
        options: SubscribeOptions { qos: QoS::AtMostOnce, ..SubscribeOptions::default() },
    };
    let subscribe =
        Subscribe { packet_id: PacketId::MIN, filters: vec![filter], subscription_id: None, user_properties: vec![] };
    subscriber.send(&Packet::Subscribe(subscribe))?;
    ensure!(matches!(subscriber.packet()?, Packet::SubAck(_)), "not a SUBACK");
    let mut publisher = Line::open(target, "latency-pub")?;
    let start = Instant::now();
    let total = (options.seconds as u128 * Duration::from_secs(1).as_micros() / PERIOD.as_micros()) as u32;
    let sender = std::thread::spawn(move || -> anyhow::Result<()> {
        let head = PublishHead { dup: false, qos: QoS::AtMostOnce, retain: false, packet_id: None };
        let mut bytes = BytesMut::new();
        for number in 0..total {
            let due = PERIOD * number;
            while start.elapsed() < due {
                let ahead = due.saturating_sub(start.elapsed());
                if ahead > Duration::from_micros(80) {
                    std::thread::sleep(ahead / 2);
                } else {
                    std::hint::spin_loop();
                }
            }
            bytes.clear();
            let mut payload = [0; 64];
            payload[..16].copy_from_slice(&start.elapsed().as_nanos().to_le_bytes());
            encode_publish(Version::V4, &mut bytes, head, TOPIC, None, &payload)?;
            publisher.socket.write_all(&bytes)?;
        }
        Ok(())
    });
    let mut times = Vec::with_capacity(total as usize);
    while times.len() < total as usize {
        if let Packet::Publish(publish) = subscriber.packet()? {
            let mut sent = [0; 16];
            sent.copy_from_slice(&publish.payload[..16]);
            times.push(start.elapsed().as_nanos() - u128::from_le_bytes(sent));
        }
    }
    sender.join().map_err(|_| anyhow::anyhow!("the publisher panicked"))??;
    // The first tenth warms caches up.
    let mut times = times.split_off(times.len() / 10);
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    Ok(json!({ "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999), "messages": times.len() }))
}
