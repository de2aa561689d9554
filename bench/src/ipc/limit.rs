//! The least a tokio server can do: split frames by their length, answer prepared bytes, hand one prepared event on.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use marram_eventstream::rpc::write_control;
use marram_eventstream::{FLAG_CONNECTION_ACCEPTED, FLAG_TERMINATE_STREAM, MessageType, RpcFrame, Template, decode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use super::wire::TOPIC;

/// Events under way to the one subscriber.
#[derive(Default)]
struct Shared {
    events: Cell<usize>,
    notify: Notify,
    event: RefCell<Vec<u8>>,
}

/// Serves until it is killed.
pub async fn serve(path: &Path) -> anyhow::Result<()> {
    let listener = UnixListener::bind(path)?;
    println!("ready");
    let shared = Rc::new(Shared::default());
    let reading = json!({"celsius": 21.5, "sensor": "t-4711", "sequence": 123456});
    let event = json!({"jsonMessage": {"message": reading, "context": {"topic": TOPIC}}}).to_string();
    let template = Template::json(MessageType::ApplicationMessage, 0, "aws.greengrass#SubscriptionResponseMessage")?;
    template.write(&mut shared.event.borrow_mut(), 1, event.as_bytes())?;
    let tasks = tokio::task::LocalSet::new();
    tasks
        .run_until(async {
            loop {
                let (client, _) = listener.accept().await?;
                let shared = Rc::clone(&shared);
                tokio::task::spawn_local(async move {
                    // Ends when the client leaves.
                    let _ = connection(client, &shared).await;
                });
            }
        })
        .await
}

async fn connection(mut client: UnixStream, shared: &Shared) -> anyhow::Result<()> {
    let mut input = vec![0; 64 * 1024];
    let (mut filled, mut out) = (0, Vec::new());
    let (mut response, mut is_publisher, mut first) = (Vec::new(), false, true);
    loop {
        let count = client.read(&mut input[filled..]).await?;
        anyhow::ensure!(count > 0, "the client left");
        filled += count;
        let mut used = 0;
        let mut frames = 0;
        while let Some(length) = input[used..filled].first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if filled - used < length {
                break;
            }
            if first {
                write_control(&mut out, MessageType::ConnectAck, FLAG_CONNECTION_ACCEPTED);
                first = false;
            } else if response.is_empty() {
                let operation = decode(&input[used..])?.map(|(frame, _)| RpcFrame::read(frame)).transpose()?;
                let operation = operation.and_then(|message| message.operation).unwrap_or_default().to_owned();
                let model = format!("{operation}Response");
                let body = if operation.ends_with("GetConfiguration") {
                    r#"{"componentName":"bench","value":{"rate":20}}"#
                } else {
                    "{}"
                };
                let flags = if operation.contains("#Subscribe") { 0 } else { FLAG_TERMINATE_STREAM };
                let template = Template::json(MessageType::ApplicationMessage, flags, &model)?;
                template.write(&mut response, 1, body.as_bytes())?;
                out.extend_from_slice(&response);
                is_publisher = operation.ends_with("PublishToTopic");
                frames += 1;
                if operation.contains("#Subscribe") {
                    client.write_all(&out).await?;
                    return deliver(client, shared).await;
                }
            } else {
                out.extend_from_slice(&response);
                frames += 1;
            }
            used += length;
        }
        input.copy_within(used..filled, 0);
        filled -= used;
        if is_publisher && frames > 0 {
            shared.events.set(shared.events.get() + frames);
            shared.notify.notify_one();
        }
        client.write_all(&out).await?;
        out.clear();
    }
}

async fn deliver(mut client: UnixStream, shared: &Shared) -> anyhow::Result<()> {
    let mut out = Vec::new();
    loop {
        shared.notify.notified().await;
        for _ in 0..shared.events.take() {
            out.extend_from_slice(&shared.event.borrow());
        }
        client.write_all(&out).await?;
        out.clear();
    }
}
