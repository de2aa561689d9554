//! Shadows over a real store and a clock that the test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use marram_broker::Message;
use marram_identity::BoxFuture;
use marram_registry::{MessagePort, Outbox, PublishError, Realm};
use marram_shadows::{MIGRATIONS, ShadowId, Shadows, ShadowsOptions};
use marram_testkit::Control;
use marram_types::{AccountId, Partition, Region};
use serde_json::{Value, json};

/// Messages as they would be published.
#[derive(Default)]
struct Published(Mutex<Vec<(String, Value)>>);

impl MessagePort for Published {
    fn publish<'a>(&'a self, realm: &'a Realm, message: Message) -> BoxFuture<'a, Result<(), PublishError>> {
        self.publish_now(realm, message);
        Box::pin(std::future::ready(Ok(())))
    }
    fn publish_now(&self, _: &Realm, message: Message) {
        self.0.lock().unwrap().push((message.topic.to_string(), serde_json::from_slice(&message.payload).unwrap()));
    }
    fn retained(&self, _: &Realm, _: &str) -> Option<Arc<Message>> {
        None
    }
    fn retained_after(&self, _: &Realm, _: &str, _: usize) -> Vec<Arc<Message>> {
        Vec::new()
    }
}

fn realm() -> Realm {
    Realm { partition: Partition::aws(), account: AccountId::first(), region: Region::default_region() }
}

fn id() -> ShadowId {
    ShadowId { thing: "t".parse().unwrap(), name: Some("AWSManagedGreengrassV2Deployment".parse().unwrap()) }
}

/// CP 5.7 rule 4: a shadow made again within 48 hours of its deletion counts on; later it starts anew.
#[tokio::test]
async fn versions_outlive_a_deletion_for_two_days() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::open(dir.path(), Region::default_region());
    control.store.migrate(MIGRATIONS).unwrap();
    let shadows = Shadows::new(
        control.identity.clone(),
        Outbox::start(Arc::new(Published::default())),
        ShadowsOptions::default(),
    );
    let update = async || {
        let accepted = shadows.update(&realm(), &id(), json!({"state": {"desired": {"a": 1}}})).await.unwrap();
        accepted["version"].as_u64().unwrap()
    };
    assert_eq!(update().await, 1);
    shadows.delete(&realm(), &id()).await.unwrap();
    assert_eq!(shadows.get(&realm(), &id()).unwrap_err().status, 404);
    control.clock.advance(Duration::from_secs(48 * 3600 - 1));
    assert_eq!(update().await, 2);
    shadows.delete(&realm(), &id()).await.unwrap();
    control.clock.advance(Duration::from_secs(48 * 3600));
    assert_eq!(update().await, 1);
}

/// CP 5.7: whoever updates at the same time, messages come in the order of versions, each with its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_come_in_the_order_of_versions() {
    const UPDATES: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let control = Control::open(dir.path(), Region::default_region());
    control.store.migrate(MIGRATIONS).unwrap();
    let published = Arc::new(Published::default());
    let shadows = Shadows::new(control.identity.clone(), Outbox::start(published.clone()), ShadowsOptions::default());
    let updates = (0..UPDATES).map(|number| {
        let shadows = shadows.clone();
        tokio::spawn(async move {
            shadows.update(&realm(), &id(), json!({"state": {"reported": {"n": number}}})).await.unwrap();
        })
    });
    for update in updates.collect::<Vec<_>>() {
        update.await.unwrap();
    }
    let accepted = marram_testkit::until(async || {
        let messages = published.0.lock().unwrap();
        let versions: Vec<u64> = messages
            .iter()
            .filter(|(topic, _)| topic.ends_with("/update/accepted"))
            .map(|(_, body)| body["version"].as_u64().unwrap())
            .collect();
        (versions.len() as u64 == UPDATES).then_some(versions)
    })
    .await;
    assert_eq!(accepted, (1..=UPDATES).collect::<Vec<_>>());
    assert_eq!(shadows.get(&realm(), &id()).unwrap()["version"], UPDATES);
}
