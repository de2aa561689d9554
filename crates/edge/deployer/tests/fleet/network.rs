//! A core's line through a bad network: messages of QoS 1 are late, out of order, twice, and wait while the line is down.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marram_dice::Dice;
use marram_edge_ports::{CloudMessage, CloudMessages, CloudPublish, CloudSubscription, Later};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};

use crate::control::Control;

/// A message in either direction.
#[derive(Debug, Clone)]
pub struct Message {
    pub topic: String,
    pub payload: Value,
}

/// What went over all lines.
#[derive(Debug, Default)]
pub struct Traffic {
    pub up: AtomicU64,
    pub down: AtomicU64,
    pub bytes: AtomicU64,
    /// Cuts of a line.
    pub cuts: AtomicU64,
    /// Messages that were delivered once more.
    pub repeats: AtomicU64,
}

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Of a hundred messages, those that end with the line cut.
    pub cut_percent: u64,
    /// Of a hundred messages, those delivered twice.
    pub twice_percent: u64,
    /// Longest way of a message.
    pub delay: Duration,
    /// Longest time a line stays down.
    pub outage: Duration,
    /// What the control plane needs for a message; it takes one after the other, of all cores.
    pub service: Duration,
}

pub const CALM: Weather = Weather {
    cut_percent: 0,
    twice_percent: 0,
    delay: Duration::ZERO,
    outage: Duration::ZERO,
    service: Duration::ZERO,
};

/// The line of one core; outlives the core's lives.
pub struct Line {
    core: usize,
    control: Arc<Mutex<Control>>,
    traffic: Arc<Traffic>,
    weather: Weather,
    dice: Mutex<Dice>,
    up: watch::Sender<bool>,
    /// The line is cut until somebody mends it.
    severed: watch::Sender<bool>,
    /// Spooled messages: durable, first come first served.
    spool: Mutex<VecDeque<Message>>,
    /// What the broker keeps for the session.
    kept: Mutex<VecDeque<Message>>,
    news: Notify,
    subscribers: Mutex<Vec<(String, mpsc::Sender<CloudMessage>)>>,
}

impl Line {
    pub fn new(
        core: usize,
        control: Arc<Mutex<Control>>,
        traffic: Arc<Traffic>,
        weather: Weather,
        dice: Dice,
    ) -> Arc<Self> {
        Arc::new(Self {
            core,
            control,
            traffic,
            weather,
            dice: Mutex::new(dice),
            up: watch::channel(true).0,
            severed: watch::channel(false).0,
            spool: Mutex::default(),
            kept: Mutex::default(),
            news: Notify::new(),
            subscribers: Mutex::default(),
        })
    }

    /// A new process: its subscriptions are gone, its session starts clean, its spool is still there.
    pub fn reborn(&self) {
        self.subscribers.lock().unwrap().clear();
        self.kept.lock().unwrap().clear();
    }

    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Cuts the line, or mends it.
    pub fn sever(&self, cut: bool) {
        self.severed.send_replace(cut);
        self.up.send_replace(!cut);
    }

    /// From the control plane, on its own account.
    pub fn notify(&self, message: Message) {
        self.kept.lock().unwrap().push_back(message);
        self.news.notify_one();
    }

    /// Carries messages for ever.
    pub async fn run(self: Arc<Self>) {
        let mut severed = self.severed.subscribe();
        loop {
            let mended = severed.wait_for(|severed| !severed).await.is_ok();
            assert!(mended, "the line owns the sender");
            let down = self.kept.lock().unwrap().pop_front();
            let up = if down.is_none() { self.spool.lock().unwrap().pop_front() } else { None };
            match (down, up) {
                (Some(message), _) => {
                    self.travel().await;
                    if self.is_cut_off().await {
                        // it was perhaps taken, and the acknowledgement was lost
                        if self.dice.lock().unwrap().chance(50) {
                            self.deliver(&message);
                        }
                        self.traffic.repeats.fetch_add(1, Ordering::Relaxed);
                        self.kept.lock().unwrap().push_front(message);
                        continue;
                    }
                    self.deliver(&message);
                }
                (None, Some(message)) => {
                    self.travel().await;
                    if self.is_cut_off().await {
                        if self.dice.lock().unwrap().chance(50) {
                            self.arrive(&message);
                        }
                        self.traffic.repeats.fetch_add(1, Ordering::Relaxed);
                        self.spool.lock().unwrap().push_front(message);
                        continue;
                    }
                    self.be_served().await;
                    self.arrive(&message);
                    if self.dice.lock().unwrap().chance(self.weather.twice_percent) {
                        self.traffic.repeats.fetch_add(1, Ordering::Relaxed);
                        self.arrive(&message);
                    }
                }
                (None, None) => self.news.notified().await,
            }
        }
    }

    async fn travel(&self) {
        let longest = self.weather.delay.as_micros() as u64;
        if longest > 0 {
            let micros = self.dice.lock().unwrap().below(longest);
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
    }

    /// Waits for its turn at a control plane that has a queue.
    async fn be_served(&self) {
        if self.weather.service > Duration::ZERO {
            let turn = self.control.lock().unwrap().turn(self.weather.service);
            tokio::time::sleep_until(turn).await;
        }
    }

    /// The dice may cut the line; then it is down for a while.
    async fn is_cut_off(&self) -> bool {
        let pause = {
            let mut dice = self.dice.lock().unwrap();
            if !dice.chance(self.weather.cut_percent) {
                return false;
            }
            Duration::from_micros(dice.below(self.weather.outage.as_micros() as u64))
        };
        self.traffic.cuts.fetch_add(1, Ordering::Relaxed);
        self.up.send_replace(false);
        tokio::time::sleep(pause).await;
        self.up.send_replace(true);
        true
    }

    fn arrive(&self, message: &Message) {
        self.traffic.up.fetch_add(1, Ordering::Relaxed);
        self.count(message);
        let answers = self.control.lock().unwrap().handle(self.core, message);
        let mut kept = self.kept.lock().unwrap();
        for answer in answers {
            // messages of one session may overtake each other when they are delivered again
            if self.dice.lock().unwrap().chance(self.weather.twice_percent) {
                kept.push_front(answer);
            } else {
                kept.push_back(answer);
            }
        }
    }

    fn deliver(&self, message: &Message) {
        self.traffic.down.fetch_add(1, Ordering::Relaxed);
        self.count(message);
        let cloud = CloudMessage {
            topic: message.topic.clone(),
            payload: message.payload.to_string().into_bytes().into(),
            ..CloudMessage::default()
        };
        self.subscribers.lock().unwrap().retain(|(filter, sender)| {
            if filter == &message.topic {
                let _ = sender.try_send(cloud.clone());
            }
            !sender.is_closed()
        });
    }

    fn count(&self, message: &Message) {
        let bytes = message.topic.len() + message.payload.to_string().len();
        self.traffic.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl CloudMessages for Line {
    fn publish<'a>(&'a self, _owner: &'a str, message: CloudPublish) -> Later<'a, ()> {
        Box::pin(async move {
            let payload = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
            self.spool.lock().unwrap().push_back(Message { topic: message.topic, payload });
            self.news.notify_one();
            Ok(())
        })
    }

    fn subscribe<'a>(&'a self, _owner: &'a str, filter: &'a str, _qos: u8) -> Later<'a, CloudSubscription> {
        Box::pin(async move {
            let (sender, messages) = mpsc::channel(16);
            self.subscribers.lock().unwrap().push((filter.to_owned(), sender));
            Ok(CloudSubscription { messages, guard: Box::new(()) })
        })
    }

    fn connection(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }
}
