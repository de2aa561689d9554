//! Networks of components that declared where they may connect: made by their first process, joined by the next, closed with
//! the last (SEC-132, SEC-134).

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use marram_egress::{Ledger, Local, Network, Sockets};
use marram_launch::{Handover, Inside};
use marram_reach::Policy;
use smol_str::SmolStr;
use tokio::io::Interest;

use crate::log::{Level, Logs};
use crate::supervisor::Launcher;

/// What a component may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Hosts and ports.
    pub policy: Arc<Policy>,
    /// Services of the core that it was promised at its loopback: those at these ports.
    pub services: Vec<u16>,
}

impl Egress {
    /// Ports to listen at inside, in order.
    fn ports(&self) -> Vec<u16> {
        let mut ports = self.policy.ports();
        ports.extend(&self.services);
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// The networks of all components.
#[derive(Default)]
pub(crate) struct Networks {
    services: RwLock<Vec<Local>>,
    known: Mutex<HashMap<SmolStr, Known>>,
    /// Why none can be made; asked for when the first is needed.
    obstacle: OnceLock<Option<String>>,
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Networks").finish_non_exhaustive()
    }
}

struct Known {
    ledger: Arc<Ledger>,
    open: Option<Open>,
}

struct Open {
    egress: Egress,
    namespaces: Vec<(Inside, OwnedFd)>,
    _network: Network,
}

/// What a launcher needs beside its bounds.
pub(crate) struct Entry {
    /// Its arguments say this.
    pub(crate) network: marram_launch::Network,
    /// The other end of what becomes the component's.
    pub(crate) input: OwnedFd,
    /// Where the answer comes, when it makes the network.
    answer: Option<UnixStream>,
}

impl Networks {
    /// Why components cannot have networks of their own here; a short process finds out at the first call.
    pub(crate) fn obstacle(&self, launcher: &Launcher) -> Option<&str> {
        self.obstacle.get_or_init(|| launcher.probe_network()).as_deref()
    }

    pub(crate) fn serve(&self, local: Local) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        services.retain(|other| other.port != local.port);
        services.push(local);
    }

    pub(crate) fn ledger(&self, component: &str) -> Option<Arc<Ledger>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(component).map(|known| Arc::clone(&known.ledger))
    }

    /// The way into a component's network, beside the launcher's standard input: the network that is open, if it is still what is
    /// declared, else a new one.
    pub(crate) fn entry(&self, component: &SmolStr, egress: &Egress) -> io::Result<(Stdio, Entry)> {
        let (near, far) = UnixStream::pair()?;
        let (reader, writer) = io::pipe()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let open = known.get(component).and_then(|known| known.open.as_ref()).filter(|open| open.egress == *egress);
        let mut handover = Handover::default();
        handover.add(Inside::Input, &reader);
        for (what, namespace) in open.iter().flat_map(|open| &open.namespaces) {
            handover.add(*what, namespace);
        }
        handover.send(&near)?;
        let network = match open {
            Some(_) => marram_launch::Network::Join,
            None => marram_launch::Network::New(egress.ports()),
        };
        let answer = open.is_none().then_some(near);
        Ok((OwnedFd::from(far).into(), Entry { network, input: writer.into(), answer }))
    }

    /// Takes over what the launcher makes.
    pub(crate) fn await_sockets(
        self: &Arc<Self>,
        component: &SmolStr,
        egress: &Egress,
        entry: Entry,
        logs: &Arc<Logs>,
    ) -> OwnedFd {
        if let Some(answer) = entry.answer {
            let (networks, component, egress) = (Arc::clone(self), component.clone(), egress.clone());
            let ledger = self.keep_ledger(&component, logs);
            tokio::spawn(async move {
                let made = async {
                    answer.set_nonblocking(true)?;
                    let answer = tokio::net::UnixStream::from_std(answer)?;
                    let all = loop {
                        answer.readable().await?;
                        let receive = || Ok(marram_launch::receive(&answer)?);
                        match answer.try_io(Interest::READABLE, receive) {
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                            received => break received?,
                        }
                    };
                    networks.open(&component, egress, all, ledger)
                };
                // A launcher that ends before says why in the component's log.
                if let Err(error) = made.await {
                    tracing::debug!(%component, %error, "the network of a component was not made");
                }
            });
        }
        entry.input
    }

    fn keep_ledger(&self, component: &SmolStr, logs: &Arc<Logs>) -> Arc<Ledger> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let (component, logs) = (component.clone(), Arc::clone(logs));
            let tell = move |place: &str, why: &str, count: u64| {
                tracing::warn!(target: "audit", decision = "deny", operation = "connect", %component, place, why, count,
                    "the sandbox refused a connection");
                let text = format!("{place}: {why} ({count} times)");
                logs.of(&component).note(Level::Warn, "sandbox-refused", &text);
            };
            Known { ledger: Arc::new(Ledger::new(Box::new(tell))), open: None }
        };
        Arc::clone(&known.entry(component.clone()).or_insert_with(make).ledger)
    }

    fn open(
        &self,
        component: &SmolStr,
        egress: Egress,
        all: Vec<(Inside, OwnedFd)>,
        ledger: Arc<Ledger>,
    ) -> io::Result<()> {
        let (mut sockets, mut namespaces) = (Sockets::default(), Vec::new());
        for (what, descriptor) in all {
            match what {
                Inside::Questions => sockets.questions = Some(descriptor),
                Inside::QuestionConnections => sockets.question_connections = Some(descriptor),
                Inside::Listener => sockets.listeners.push(descriptor),
                Inside::Attempts => sockets.attempts = Some(descriptor),
                Inside::Network | Inside::Users => namespaces.push((what, descriptor)),
                Inside::Input => {}
            }
        }
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let local = services.iter().filter(|local| egress.services.contains(&local.port)).cloned().collect();
        drop(services);
        let network = Network::open(component, Arc::clone(&egress.policy), sockets, local, ledger)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(component) {
            known.open = Some(Open { egress, namespaces, _network: network });
        }
        Ok(())
    }

    /// No process of the component is left; what was counted stays.
    pub(crate) fn close(&self, component: &str) {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get_mut(component) {
            known.open = None;
        }
    }

    pub(crate) fn forget(&self, component: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(component);
    }
}
