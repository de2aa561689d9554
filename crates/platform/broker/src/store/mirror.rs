//! What a session log amounts to: sessions and retained messages after all its records.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use marram_mqtt::{ClientId, SubscribeOptions, Topic, TopicFilter};

use super::{Record, SessionNo, Stored, StoredSession, StoredWill};
use crate::authorize::Tenant;
use crate::message::Message;

#[derive(Debug, Default)]
pub(super) struct Mirror {
    sessions: BTreeMap<SessionNo, Mirrored>,
    retained: HashMap<(Tenant, Topic), Arc<Message>>,
    wills: HashMap<(Tenant, ClientId), (Arc<Message>, u32)>,
    /// Estimate of the bytes a log of only live records takes.
    live: u64,
}

#[derive(Debug)]
struct Mirrored {
    tenant: Tenant,
    client_id: ClientId,
    expiry_secs: u32,
    detached_at_secs: Option<u64>,
    subscriptions: Vec<(TopicFilter, SubscribeOptions)>,
    queue: BTreeMap<u64, Arc<Message>>,
}

fn weight(message: &Message) -> u64 {
    (message.payload.len() + message.topic.len() + 100) as u64
}

impl Mirror {
    pub(super) fn live_bytes(&self) -> u64 {
        self.live + self.sessions.len() as u64 * 200
    }

    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::SessionOpened { session, tenant, client_id, expiry_secs } => {
                let mirrored = self.sessions.entry(session).or_insert_with(|| Mirrored {
                    tenant,
                    client_id,
                    expiry_secs,
                    detached_at_secs: None,
                    subscriptions: Vec::new(),
                    queue: BTreeMap::new(),
                });
                mirrored.expiry_secs = expiry_secs;
                mirrored.detached_at_secs = None;
            }
            Record::SessionDetached { session, at_secs } => {
                if let Some(mirrored) = self.sessions.get_mut(&session) {
                    mirrored.detached_at_secs = Some(at_secs);
                }
            }
            Record::SessionClosed { session } => {
                if let Some(mirrored) = self.sessions.remove(&session) {
                    self.live -= mirrored.queue.values().map(|message| weight(message)).sum::<u64>();
                }
            }
            Record::Subscribed { session, filter, options } => {
                if let Some(mirrored) = self.sessions.get_mut(&session) {
                    mirrored.subscriptions.retain(|(known, _)| *known != filter);
                    mirrored.subscriptions.push((filter, options));
                }
            }
            Record::Unsubscribed { session, filter } => {
                if let Some(mirrored) = self.sessions.get_mut(&session) {
                    mirrored.subscriptions.retain(|(known, _)| *known != filter);
                }
            }
            Record::Enqueued { targets, message } => {
                for (session, sequence) in targets {
                    if let Some(mirrored) = self.sessions.get_mut(&session) {
                        mirrored.queue.insert(sequence, Arc::clone(&message));
                        self.live += weight(&message);
                    }
                }
            }
            Record::Settled { session, sequences } => {
                if let Some(mirrored) = self.sessions.get_mut(&session) {
                    for sequence in sequences {
                        if let Some(message) = mirrored.queue.remove(&sequence) {
                            self.live -= weight(&message);
                        }
                    }
                }
            }
            Record::Retained { tenant, message } => {
                self.live += weight(&message);
                if let Some(old) = self.retained.insert((tenant, message.topic.clone()), message) {
                    self.live -= weight(&old);
                }
            }
            Record::RetainCleared { tenant, topic } => {
                if let Some(old) = self.retained.remove(&(tenant, topic)) {
                    self.live -= weight(&old);
                }
            }
            Record::WillLeft { tenant, client_id, message, delay_secs } => {
                self.live += weight(&message);
                if let Some((old, _)) = self.wills.insert((tenant, client_id), (message, delay_secs)) {
                    self.live -= weight(&old);
                }
            }
            Record::WillGone { tenant, client_id } => {
                if let Some((old, _)) = self.wills.remove(&(tenant, client_id)) {
                    self.live -= weight(&old);
                }
            }
        }
    }

    /// The fewest records that lead to the same mirror.
    pub(super) fn records(&self, mut each: impl FnMut(Record)) {
        for (&session, mirrored) in &self.sessions {
            each(Record::SessionOpened {
                session,
                tenant: mirrored.tenant.clone(),
                client_id: mirrored.client_id.clone(),
                expiry_secs: mirrored.expiry_secs,
            });
            if let Some(at_secs) = mirrored.detached_at_secs {
                each(Record::SessionDetached { session, at_secs });
            }
            for (filter, options) in &mirrored.subscriptions {
                each(Record::Subscribed { session, filter: filter.clone(), options: *options });
            }
            for (&sequence, message) in &mirrored.queue {
                each(Record::Enqueued { targets: vec![(session, sequence)], message: Arc::clone(message) });
            }
        }
        for ((tenant, _), message) in &self.retained {
            each(Record::Retained { tenant: tenant.clone(), message: Arc::clone(message) });
        }
        for ((tenant, client_id), (message, delay_secs)) in &self.wills {
            each(Record::WillLeft {
                tenant: tenant.clone(),
                client_id: client_id.clone(),
                message: Arc::clone(message),
                delay_secs: *delay_secs,
            });
        }
    }

    pub(super) fn stored(&self) -> Stored {
        let sessions = self.sessions.iter().map(|(&session, mirrored)| StoredSession {
            session,
            tenant: mirrored.tenant.clone(),
            client_id: mirrored.client_id.clone(),
            expiry_secs: mirrored.expiry_secs,
            detached_at_secs: mirrored.detached_at_secs,
            subscriptions: mirrored.subscriptions.clone(),
            queue: mirrored.queue.iter().map(|(&sequence, message)| (sequence, Arc::clone(message))).collect(),
        });
        let retained = self.retained.iter().map(|((tenant, _), message)| (tenant.clone(), Arc::clone(message)));
        let wills = self.wills.iter().map(|((tenant, client_id), (message, delay_secs))| StoredWill {
            tenant: tenant.clone(),
            client_id: client_id.clone(),
            message: Arc::clone(message),
            delay_secs: *delay_secs,
        });
        Stored { sessions: sessions.collect(), retained: retained.collect(), wills: wills.collect() }
    }
}
