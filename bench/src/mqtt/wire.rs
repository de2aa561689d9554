//! A load generator's connection: bytes in, bytes out, frames counted.

use std::io;
use std::sync::Arc;

use anyhow::ensure;
use bytes::{Buf, BytesMut};
use marram_mqtt::{
    Connect, Filter, Packet, PacketId, PublishHead, QoS, ReasonCode, Subscribe, SubscribeOptions, TopicFilter, Version,
    decode, encode_publish, next_frame,
};
use marram_mqtt_net::{Io, ReadBuffer, Transport};
use tokio::net::TcpStream;

use super::Target;

/// One connection of the generator.
pub(crate) struct Wire {
    stream: Box<dyn Transport>,
    pub(crate) read: ReadBuffer,
    pub(crate) out: BytesMut,
}

impl Wire {
    /// TCP, TLS if the target wants it, CONNECT and CONNACK.
    pub(crate) async fn connect(target: &Target, client_id: &str) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(target.address).await?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Transport> = match &target.tls {
            None => Box::new(socket),
            Some(connector) => Box::new(Io::new(connector.connect("127.0.0.1", socket).await?)),
        };
        let mut wire = Self { stream, read: ReadBuffer::default(), out: BytesMut::new() };
        let connect = Connect { keep_alive_secs: 600, ..Connect::new(Version::V4, client_id) };
        Packet::Connect(Box::new(connect)).encode(Version::V4, &mut wire.out)?;
        match wire.packet().await? {
            Packet::ConnAck(connack) => ensure!(connack.reason == ReasonCode::SUCCESS, "refused: {}", connack.reason),
            other => anyhow::bail!("not a CONNACK: {other:?}"),
        }
        Ok(wire)
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: u8) -> anyhow::Result<()> {
        let options = SubscribeOptions { qos: QoS::from_bits(qos).unwrap_or_default(), ..SubscribeOptions::default() };
        let filters = vec![Filter { filter: TopicFilter::new(filter)?, options }];
        let subscribe =
            Subscribe { packet_id: PacketId::MIN, filters, subscription_id: None, user_properties: Vec::new() };
        Packet::Subscribe(subscribe).encode(Version::V4, &mut self.out)?;
        match self.packet().await? {
            Packet::SubAck(suback) => ensure!(!suback.reasons[0].is_error(), "subscribe refused"),
            other => anyhow::bail!("not a SUBACK: {other:?}"),
        }
        Ok(())
    }

    /// Sends what is queued, then reads one packet.
    async fn packet(&mut self) -> anyhow::Result<Packet> {
        self.flush().await?;
        loop {
            if let Some(packet) = decode(Version::V4, &mut self.read.bytes, 1 << 20)? {
                return Ok(packet);
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.stream.poll_write(cx, &mut self.out)).await
    }

    /// Reads at least one byte.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        match std::future::poll_fn(|cx| self.stream.poll_read(cx, &mut self.read)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Counts and removes the PUBLISH packets that were read; queues their acknowledgements.
    pub(crate) fn take_messages(&mut self) -> anyhow::Result<u64> {
        let mut count = 0;
        let mut at = 0;
        while let Some(frame) = next_frame(&self.read.bytes[at..], 1 << 20)? {
            if frame.header.kind == 3 {
                count += 1;
                if frame.header.flags & 6 == 2 {
                    let body = &self.read.bytes[at + frame.header_len..];
                    let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let ack = [0x40, 2, body[id], body[id + 1]];
                    self.out.extend_from_slice(&ack);
                }
            }
            at += frame.total_len;
        }
        self.read.bytes.advance(at);
        Ok(count)
    }

    /// Counts and removes the PUBACK packets that were read.
    pub(crate) fn take_acks(&mut self) -> anyhow::Result<usize> {
        let mut count = 0;
        while let Some(frame) = next_frame(&self.read.bytes, 1 << 20)? {
            count += usize::from(frame.header.kind == 4);
            self.read.bytes.advance(frame.total_len);
        }
        Ok(count)
    }
}

/// Bytes of one PUBLISH, for repetition; QoS 1 with a packet id that is patched in.
pub(crate) fn publish_bytes(topic: &str, payload: &[u8], qos: u8) -> anyhow::Result<Arc<[u8]>> {
    let qos = QoS::from_bits(qos).unwrap_or_default();
    let packet_id = (qos > QoS::AtMostOnce).then_some(PacketId::MIN);
    let head = PublishHead { dup: false, qos, retain: false, packet_id };
    let mut bytes = BytesMut::new();
    encode_publish(Version::V4, &mut bytes, head, topic, None, payload)?;
    Ok(bytes.to_vec().into())
}
