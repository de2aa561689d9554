//! The broker against a naive model of one: random clients, subscriptions, publishes and reconnects (CP 5.2).
//!
//! The model is a list of sessions with a list of filters and a list of queued messages; matching is the one-by-one
//! rule of `marram_mqtt::matches`. After every step each connected client has received exactly what the model says, in
//! order.

mod common;

use std::collections::BTreeMap;

use common::{BOTH, Peer, TestBroker, message, start};
use marram_mqtt::{Ack, Connect, Disconnect, Packet, Publish, QoS, ReasonCode, TopicFilter, matches};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::runtime::Runtime;

const CLIENTS: usize = 3;
const TOPICS: [&str; 5] = ["a", "a/b", "a/b/c", "b/b", "$x/b"];
const FILTERS: [&str; 9] = ["a", "a/b", "a/#", "+/b", "#", "a/+/c", "+/+/+", "$x/+", "b/#"];

#[derive(Clone, Debug)]
enum Step {
    Connect { client: usize, clean: bool },
    Leave { client: usize, politely: bool },
    Subscribe { client: usize, filter: usize, qos: u8 },
    Unsubscribe { client: usize, filter: usize },
    Publish { client: usize, topic: usize, qos: u8, retain: bool, empty: bool },
}

#[derive(Clone, Debug, Default)]
struct ModelSession {
    online: bool,
    filters: BTreeMap<usize, u8>,
    /// Payload, QoS, RETAIN of what has to arrive next.
    queue: Vec<(String, u8, bool)>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    sessions: BTreeMap<usize, ModelSession>,
    retained: BTreeMap<usize, (String, u8)>,
    published: usize,
}

impl Model {
    fn is_online(&self, client: usize) -> bool {
        self.sessions.get(&client).is_some_and(|session| session.online)
    }

    /// What a step leaves in the queues. Queues of connected clients are read out between steps.
    fn step(&mut self, step: &Step) {
        for session in self.sessions.values_mut().filter(|session| session.online) {
            session.queue.clear();
        }
        match *step {
            Step::Connect { client, clean } => {
                if clean {
                    self.sessions.remove(&client);
                }
                self.sessions.entry(client).or_default().online = true;
            }
            Step::Leave { client, .. } => {
                if let Some(session) = self.sessions.get_mut(&client) {
                    session.online = false;
                }
            }
            Step::Subscribe { client, filter, qos } => {
                let retained = TOPICS.iter().position(|topic| *topic == FILTERS[filter]);
                let retained = retained.and_then(|topic| self.retained.get(&topic).cloned());
                if let Some(session) = self.sessions.get_mut(&client) {
                    session.filters.insert(filter, qos);
                    session.queue.extend(retained.map(|(payload, stored)| (payload, stored.min(qos), true)));
                }
            }
            Step::Unsubscribe { client, filter } => {
                if let Some(session) = self.sessions.get_mut(&client) {
                    session.filters.remove(&filter);
                }
            }
            Step::Publish { topic, qos, retain, empty, .. } => {
                self.published += 1;
                let payload = if empty { String::new() } else { self.published.to_string() };
                if retain && payload.is_empty() {
                    self.retained.remove(&topic);
                } else if retain {
                    self.retained.insert(topic, (payload.clone(), qos));
                }
                for session in self.sessions.values_mut() {
                    let reached =
                        session.filters.iter().filter(|(filter, _)| matches(FILTERS[**filter], TOPICS[topic]));
                    let Some(granted) = reached.map(|(_, qos)| *qos).max() else { continue };
                    let qos = qos.min(granted);
                    if session.online || qos > 0 {
                        session.queue.push((payload.clone(), qos, false));
                    }
                }
            }
        }
    }
}

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        let client = 0..CLIENTS;
        prop_oneof![
            3 => (client.clone(), any::<bool>()).prop_map(|(client, clean)| Step::Connect { client, clean }),
            1 => (client.clone(), any::<bool>()).prop_map(|(client, politely)| Step::Leave { client, politely }),
            4 => (client.clone(), 0..FILTERS.len(), 0..2_u8)
                .prop_map(|(client, filter, qos)| Step::Subscribe { client, filter, qos }),
            1 => (client.clone(), 0..FILTERS.len())
                .prop_map(|(client, filter)| Step::Unsubscribe { client, filter }),
            6 => (client, 0..TOPICS.len(), 0..2_u8, prop::bool::weighted(0.3), prop::bool::weighted(0.2)).prop_map(
                |(client, topic, qos, retain, empty)| Step::Publish { client, topic, qos, retain, empty }
            ),
        ]
        .boxed()
    }

    /// Only connected clients act; connecting again is a takeover.
    fn preconditions(model: &Model, step: &Step) -> bool {
        match *step {
            Step::Connect { .. } => true,
            Step::Leave { client, .. }
            | Step::Subscribe { client, .. }
            | Step::Unsubscribe { client, .. }
            | Step::Publish { client, .. } => model.is_online(client),
        }
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.step(step);
        model
    }
}

/// The broker under test and its connected clients.
struct Real {
    runtime: Runtime,
    broker: TestBroker,
    peers: BTreeMap<usize, Peer>,
    published: usize,
    got: BTreeMap<usize, Vec<(String, u8, bool)>>,
}

impl Real {
    fn step(&mut self, step: Step) {
        let Self { runtime, broker, peers, published, got } = self;
        got.clear();
        runtime.block_on(async {
            match step {
                Step::Connect { client, clean } => {
                    let version = BOTH[client % 2];
                    let mut connect = Connect { clean_start: clean, ..Connect::new(version, format!("c{client}")) };
                    // A 3.1.1 session that is clean ends with its connection; both kinds persist here.
                    if version == marram_mqtt::Version::V4 {
                        if clean {
                            forget(broker, connect.clone()).await;
                        }
                        connect.clean_start = false;
                    }
                    connect.properties.session_expiry_secs = Some(3600);
                    let old = peers.remove(&client);
                    let (peer, _) = broker.client_with(connect).await;
                    if let Some(mut old) = old {
                        old.expect_closed(ReasonCode::SESSION_TAKEN_OVER).await;
                    }
                    peers.insert(client, peer);
                }
                Step::Leave { client, politely } => {
                    let mut peer = peers.remove(&client).unwrap();
                    if politely {
                        peer.send(Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS))).await;
                        assert_eq!(peer.recv().await, None);
                    }
                    drop(peer);
                    let online = peers.len();
                    while broker.broker.connected() > online {
                        tokio::task::yield_now().await;
                    }
                }
                Step::Subscribe { client, filter, qos } => {
                    let peer = peers.get_mut(&client).unwrap();
                    assert_eq!(peer.subscribe(FILTERS[filter], qos).await.value(), qos);
                }
                Step::Unsubscribe { client, filter } => {
                    TopicFilter::new(FILTERS[filter]).unwrap();
                    peers.get_mut(&client).unwrap().unsubscribe(FILTERS[filter]).await;
                }
                Step::Publish { client, topic, qos, retain, empty } => {
                    *published += 1;
                    let payload = if empty { String::new() } else { published.to_string() };
                    let peer = peers.get_mut(&client).unwrap();
                    let qos = QoS::from_bits(qos).unwrap();
                    let packet_id = (qos > QoS::AtMostOnce).then(|| peer.next_id());
                    let publish = Publish { qos, retain, packet_id, ..message(TOPICS[topic], &payload) };
                    peer.send(Packet::Publish(publish)).await;
                }
            }
            // The actor first: when its PINGRESP is there, everything it sent was worked through.
            for _ in 0..2 {
                for (client, peer) in peers.iter_mut() {
                    drain(peer, got.entry(*client).or_default()).await;
                }
            }
        });
    }
}

/// Ends a 3.1.1 session the way 3.1.1 does: by a clean connection.
async fn forget(broker: &TestBroker, connect: Connect) {
    let (mut peer, _) = broker.client_with(Connect { clean_start: true, ..connect }).await;
    peer.send(Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS))).await;
    assert_eq!(peer.recv().await, None);
}

/// Reads what is on its way to a client.
async fn drain(peer: &mut Peer, into: &mut Vec<(String, u8, bool)>) {
    for _ in 0..2 {
        peer.send(Packet::PingReq).await;
        loop {
            match peer.recv().await {
                Some(Packet::Publish(publish)) => {
                    if let Some(id) = publish.packet_id {
                        peer.send(Packet::PubAck(Ack::new(id, ReasonCode::SUCCESS))).await;
                    }
                    let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
                    into.push((payload, publish.qos as u8, publish.retain));
                }
                Some(Packet::PubAck(ack)) => assert_eq!(ack.reason, ReasonCode::SUCCESS),
                Some(Packet::PingResp) => break,
                other => panic!("unexpected: {other:?}"),
            }
        }
    }
}

struct Test;

impl StateMachineTest for Test {
    type SystemUnderTest = Real;
    type Reference = Reference;

    fn init_test(_: &Model) -> Real {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let broker = runtime.block_on(start());
        Real { runtime, broker, peers: BTreeMap::new(), published: 0, got: BTreeMap::new() }
    }

    fn apply(mut real: Real, model: &Model, step: Step) -> Real {
        real.step(step);
        for (client, session) in model.sessions.iter().filter(|(_, session)| session.online) {
            let got = real.got.get(client).cloned().unwrap_or_default();
            assert_eq!(got, session.queue, "client {client}");
        }
        real
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 48, max_shrink_iters: 400, ..Config::default() })]

    /// CP 5.2: delivery, sessions, retained messages and takeover, against the model.
    #[test]
    fn the_broker_behaves_like_the_model(sequential 1..40 => Test);
}
