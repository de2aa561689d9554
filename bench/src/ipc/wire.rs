//! A blocking client that counts frames by their length and looks into them only where it must.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, bail};
use marram_eventstream::client::{Event, Session};
use marram_eventstream::{RpcFrame, Template, decode};
use serde_json::json;

use super::PATIENCE;

/// Topic of publishers and subscribers.
pub const TOPIC: &str = "bench/line/4/temperature";

/// One connection.
pub struct Client {
    pub socket: UnixStream,
    pub session: Session,
    pub out: Vec<u8>,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl Client {
    /// Connects and is let in.
    pub fn connect(path: &Path, token: &str) -> anyhow::Result<Self> {
        let socket = UnixStream::connect(path).with_context(|| format!("connecting to {}", path.display()))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { socket, session: Session::new(), out: Vec::new(), input: Vec::new(), start: 0, end: 0 };
        Session::connect(&mut client.out, json!({"authToken": token}).to_string().as_bytes())?;
        client.flush()?;
        client.next(|message| match Session::new().receive(message) {
            Event::Connected { accepted: true } => Ok(()),
            _ => bail!("the server did not let us in"),
        })?;
        Ok(client)
    }

    /// Sends what is in `out`.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Adds a request to `out`.
    pub fn request(&mut self, template: &Template, payload: &[u8]) -> anyhow::Result<()> {
        self.session.request(&mut self.out, template, payload)?;
        Ok(())
    }

    /// The next frame.
    pub fn next<T>(&mut self, read: impl FnOnce(&RpcFrame<'_>) -> anyhow::Result<T>) -> anyhow::Result<T> {
        loop {
            if let Some((frame, length)) = decode(&self.input[self.start..self.end])? {
                let result = read(&RpcFrame::read(frame)?);
                self.start += length;
                return result;
            }
            self.fill()?;
        }
    }

    /// Waits for input and takes every complete frame; answers how many.
    pub fn take_frames(&mut self) -> anyhow::Result<usize> {
        loop {
            let mut count = 0;
            while let Some(length) = self.input[self.start..self.end].first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if self.end - self.start < length {
                    break;
                }
                self.start += length;
                count += 1;
            }
            if count > 0 {
                return Ok(count);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        if self.input.is_empty() {
            self.input = vec![0; 8192];
        }
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        let count = self.socket.read(&mut self.input[self.end..]).context("waiting for the server")?;
        anyhow::ensure!(count > 0, "the server closed the connection");
        self.end += count;
        Ok(())
    }

    /// Sends one request and takes its response, which must not be an error.
    pub fn call(&mut self, operation: &str, payload: &[u8]) -> anyhow::Result<()> {
        self.request(&Session::request_template(operation)?, payload)?;
        self.flush()?;
        self.response()
    }

    /// The next message, which must not be an error.
    pub fn response(&mut self) -> anyhow::Result<()> {
        self.next(|message| match Session::new().receive(message) {
            Event::Message { .. } => Ok(()),
            Event::Failure { model, payload, .. } => {
                bail!("the server refused: {} {}", model.unwrap_or(""), String::from_utf8_lossy(payload))
            }
            other => bail!("an unexpected message: {other:?}"),
        })
    }

    /// Subscribes to a topic.
    pub fn subscribe(&mut self, topic: &str) -> anyhow::Result<()> {
        self.call("aws.greengrass#SubscribeToTopic", json!({"topic": topic}).to_string().as_bytes())
    }
}

/// Headers of PublishToTopic.
pub fn publish_template() -> anyhow::Result<Template> {
    Ok(Session::request_template("aws.greengrass#PublishToTopic")?)
}

/// A message as a sensor would send it.
pub fn publish_payload() -> Vec<u8> {
    let reading = json!({"celsius": 21.5, "sensor": "t-4711", "sequence": 123456});
    json!({"topic": TOPIC, "publishMessage": {"jsonMessage": {"message": reading}}}).to_string().into_bytes()
}
