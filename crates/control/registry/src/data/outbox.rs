//! Messages of services that follow from a transaction: published once it is durable, in the order of commits.

use std::sync::Arc;

use marram_broker::{Message, Reply};
use marram_store::Tx;
use tokio::sync::mpsc;

use super::MessagePort;
use crate::realm::Realm;

/// Where messages wait for their turn. Clones share the queue and its one publisher task, which ends with the last clone.
#[derive(Clone)]
pub struct Outbox {
    queue: mpsc::UnboundedSender<Item>,
}

/// A message and its way out.
enum Item {
    Publish(Realm, Message),
    Reply(Arc<dyn Reply>, Message),
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    /// Starts the publisher; call it inside the runtime.
    pub fn start(messages: Arc<dyn MessagePort>) -> Self {
        // Bounded by what transactions produce: each has paid for its place in the writer's queue.
        let (queue, mut items) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(item) = items.recv().await {
                match item {
                    Item::Publish(realm, message) => messages.publish_now(&realm, message),
                    Item::Reply(reply, message) => reply.deliver(message),
                }
            }
        });
        Self { queue }
    }

    /// Publishes after what is waiting.
    pub fn publish(&self, realm: &Realm, message: Message) {
        self.send(Item::Publish(realm.clone(), message));
    }

    /// Delivers to one session, whether or not it subscribed, after what is waiting.
    pub fn reply(&self, reply: Arc<dyn Reply>, message: Message) {
        self.send(Item::Reply(reply, message));
    }

    /// Publishes in this order once the transaction is durable, and never if it is undone.
    pub fn publish_after(&self, tx: &mut Tx<'_>, realm: &Realm, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let (outbox, realm) = (self.clone(), realm.clone());
        tx.after_commit(move || messages.into_iter().for_each(|message| outbox.publish(&realm, message)));
    }

    fn send(&self, item: Item) {
        // The publisher ends only with the runtime; then nobody is left to hear the message.
        let _: Result<(), _> = self.queue.send(item);
    }
}
