//! The host's turns: take what waits, feed the engine, let effects out once the journal has them (`sync`).

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use marram_expr::Value;
use marram_flow::trigger::Fired;
use marram_flow::{Effect, Execution, Fault, Input, Origin, Reply, Request, Stage, TaskId, Time, fault, step_into};
use serde_json::{Map, Value as Json};
use smol_str::SmolStr;
use tokio::time::Instant;

use super::{Command, Confirmation, Generation, Host, Live, Waiting};
use crate::connector::{Job, port_fault};
use crate::journal::{Create, JournalError, Record, encode_create, encode_input};
use crate::port::FlowAction;
use crate::spec::{DeployError, StartError};

/// Commands taken in one turn: the size of a group in the journal.
const TURN: usize = 512;
/// The longest the host sleeps while it follows calendar triggers, so that a moved wall clock is noticed.
const CALENDAR_CHECK: Duration = Duration::from_secs(30);
/// How long after a failed arming the next attempt is made, milliseconds.
const REARM_MS: u64 = 5_000;

/// Whether the host goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Turn,
    End,
}

impl Host {
    /// Runs until undeployed or stopped.
    pub async fn run(mut self) {
        self.restart();
        let mut batch = Vec::with_capacity(TURN);
        loop {
            self.settle().await;
            let wake = self.wake();
            let taken = tokio::select! {
                biased;
                done = async { (&mut self.syncing.as_mut().expect("guarded").done).await }, if self.syncing.is_some() => {
                    self.sync_done(done);
                    0
                }
                Some(done) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    if let Ok((_, (number, task, answer))) = done {
                        self.task_done(number, task, answer);
                    }
                    0
                }
                taken = self.commands.recv_many(&mut batch, TURN) => {
                    if taken == 0 {
                        // Every handle is gone: the runtime is.
                        return;
                    }
                    taken
                }
                () = sleep_until(wake) => 0,
            };
            if taken > 0 {
                for command in batch.drain(..) {
                    if self.command(command).await == Next::End {
                        return;
                    }
                }
            }
            self.due().await;
        }
    }

    /// Tells executions found in the journal that the runtime restarted.
    fn restart(&mut self) {
        let now = self.shared.clock.now();
        let mut numbers: Vec<u64> = self.live.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if self.live[&number].exec.in_flight().next().is_some() {
                self.feed(number, Input::Restarted, now);
            }
        }
    }

    async fn command(&mut self, command: Command) -> Next {
        match command {
            Command::Occurrence { generation, source, payload } => self.occurrence(generation, source, &payload),
            Command::Progress { number, task, stage } => {
                let now = self.shared.clock.now();
                self.feed(number, Input::Progress { task, stage }, now);
            }
            Command::Start { role, params, reply } => match self.start(&role, params) {
                Ok(execution) => {
                    self.confirmations.push_back(Confirmation { write: self.writes + 1, execution, reply });
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Abort { execution, reason, reply } => {
                let number =
                    self.live.iter().find(|(_, entry)| *entry.exec.id() == execution).map(|(number, _)| *number);
                if let Some(number) = number {
                    let now = self.shared.clock.now();
                    self.feed(number, Input::Abort { reason }, now);
                }
                let _ = reply.send(number.is_some());
            }
            Command::Deploy { deployment, reply } => {
                let _ = reply.send(self.redeploy(*deployment).await);
            }
            Command::Status { reply } => {
                let _ = reply.send(self.status());
            }
            Command::Undeploy { reply } => {
                let _ = reply.send(self.undeploy().map_err(DeployError::from));
                return Next::End;
            }
            Command::Stop { reply } => {
                self.subscriptions.clear();
                let written = self.journal.write().and_then(|()| {
                    self.journal.file().sync_data().map_err(|cause| JournalError::Io { path: self.dir.clone(), cause })
                });
                match written {
                    Ok(()) => self.confirm_all(),
                    Err(error) => tracing::error!(%error, "the journal could not be closed cleanly"),
                }
                self.readable.set(self.position());
                let _ = reply.send(());
                return Next::End;
            }
        }
        Next::Turn
    }

    fn occurrence(&mut self, generation: u32, source: u16, payload: &Bytes) {
        if generation != self.current.number {
            return;
        }
        let now = self.shared.clock.now();
        let generation = Arc::clone(&self.current);
        for position in 0..self.sources.get(usize::from(source)).map_or(0, Vec::len) {
            let index = usize::from(self.sources[usize::from(source)][position]);
            if !self.buckets[index].take(now) {
                self.dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                self.shared.metrics.dropped("storm").inc();
                continue;
            }
            match self.watch.occur(&generation.deployment.snapshot, index, payload, now) {
                Ok(fired) => self.fire(&generation, fired, now),
                Err(fault) => {
                    self.shared.metrics.dropped("undecodable").inc();
                    let entry = &self.watch.events[index];
                    tracing::info!(deployment = %generation.deployment.id(), role = %entry.role, event = %entry.event,
                        error = %fault.message, "an event was dropped");
                }
            }
        }
    }

    /// Starts what triggers want.
    pub(super) fn fire(&mut self, generation: &Arc<Generation>, fired: Fired, now: Time) {
        for (trigger, fault) in fired.errors {
            tracing::info!(deployment = %generation.deployment.id(), %trigger, error = %fault.message,
                "a trigger expression failed and counts as false");
        }
        for firing in fired.firings {
            let trigger = u16::try_from(firing.trigger).ok();
            let flow = u16::try_from(firing.flow).unwrap_or(u16::MAX);
            self.begin(generation, flow, trigger, firing.params, now);
        }
    }

    fn start(&mut self, role: &str, mut params: Map<String, Json>) -> Result<SmolStr, StartError> {
        let generation = Arc::clone(&self.current);
        let index = generation.deployment.snapshot.flow(role).ok_or_else(|| StartError::NoFlow(role.into()))?;
        let flow = &generation.programs[index].flow;
        let mut values = Vec::with_capacity(flow.parameters.len());
        for parameter in &flow.parameters {
            let key =
                params.keys().find(|key| key.trim_start_matches('$').eq_ignore_ascii_case(&parameter.name)).cloned();
            let given = key.and_then(|key| params.remove(&key)).map_or(Value::Null, |json| Value::from_json(&json));
            if given.is_null() && parameter.is_required && parameter.default.is_none() {
                return Err(StartError::MissingParameter(parameter.name.clone()));
            }
            values.push(given);
        }
        if let Some(unknown) = params.keys().next() {
            return Err(StartError::NoParameter(unknown.into()));
        }
        let now = self.shared.clock.now();
        Ok(self.begin(&generation, u16::try_from(index).unwrap_or(u16::MAX), None, values, now))
    }

    /// Creates an execution, journals it and runs its first steps.
    fn begin(
        &mut self,
        generation: &Arc<Generation>,
        flow: u16,
        trigger: Option<u16>,
        params: Vec<Value>,
        now: Time,
    ) -> SmolStr {
        let number = self.next;
        self.next += 1;
        self.started += 1;
        let uuid = self.random.uuid();
        let create = Create { number, generation: generation.number, flow, trigger, at: now, uuid, params };
        self.journal.push(|out| encode_create(out, &create));
        let origin: Origin = create.origin(&generation.deployment);
        let program = &generation.programs[usize::from(flow)];
        let mut exec = Execution::new(program, origin, now);
        let id = exec.id().clone();
        step_into(program, &mut exec, Input::Start, now, &mut self.sink);
        generation.meters[usize::from(flow)].started();
        let entry = Live { exec, generation: Arc::clone(generation), flow, deadline: None };
        self.live.insert(number, Box::new(entry));
        self.effects(number);
        id
    }

    /// Journals an input and gives it to its execution.
    fn feed(&mut self, number: u64, input: Input, now: Time) {
        let Some(entry) = self.live.get_mut(&number) else { return };
        self.journal.push(|out| encode_input(out, number, now, &input));
        step_into(&entry.generation.programs[usize::from(entry.flow)], &mut entry.exec, input, now, &mut self.sink);
        self.effects(number);
    }

    /// Takes the effects of the last step of `number`.
    fn effects(&mut self, number: u64) {
        let mut effects = std::mem::take(&mut self.sink.0);
        let Some(entry) = self.live.get(&number) else { return };
        let (generation, flow) = (&entry.generation, usize::from(entry.flow));
        let meters = &generation.meters[flow];
        let mut ended = None;
        for effect in effects.drain(..) {
            match effect {
                Effect::Dispatch { task, request } => {
                    self.waiting.push_back(Waiting { write: self.writes + 1, number, task, request });
                }
                Effect::Cancel { task } => match self.handles.remove(&(number, task)) {
                    Some(handle) => handle.abort(),
                    None => self.waiting.retain(|waiting| (waiting.number, waiting.task) != (number, task)),
                },
                Effect::StepStarted { step } => meters.step_started(step),
                Effect::StepEnded { step, status, duration_ms } => meters.step_ended(step, status, duration_ms),
                Effect::Message(_) => {}
                Effect::Ended { status, duration_ms } => ended = Some((status, duration_ms)),
            }
        }
        self.sink.0 = effects;
        if ended.is_none() && self.touched.last() != Some(&number) {
            self.touched.push(number);
        }
        if let Some((status, duration_ms)) = ended {
            meters.ended(status, duration_ms);
            if let Some(entry) = self.live.remove(&number)
                && let Some(deadline) = entry.deadline
            {
                self.timers.remove(&(deadline, number));
            }
        }
    }

    /// Puts the deadlines of executions that changed in order.
    pub(super) fn retime(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for number in touched.drain(..) {
            let Some(entry) = self.live.get_mut(&number) else { continue };
            let timeout = entry.generation.programs[usize::from(entry.flow)].site.execution_timeout_ms;
            let deadline = entry.exec.next_deadline(timeout);
            if deadline != entry.deadline {
                if let Some(old) = std::mem::replace(&mut entry.deadline, deadline) {
                    self.timers.remove(&(old, number));
                }
                if let Some(new) = deadline {
                    self.timers.insert((new, number));
                }
            }
        }
        self.touched = touched;
    }

    /// Lets a request out. A publish without response that the broker takes at once ends here, without a task.
    pub(super) fn dispatch(&mut self, waiting: Waiting) {
        let Waiting { number, task, request, .. } = waiting;
        let Some(entry) = self.live.get(&number) else { return };
        let generation = Arc::clone(&entry.generation);
        let now = self.shared.clock.now();
        if let Request::Publish(publish) = &*request {
            if !self.allows(&generation, &publish.topic, true) {
                let fault = Fault::new(fault::PERMISSION, format!("publish on `{}` is not allowed", publish.topic));
                return self.feed(number, Input::Failed { task, fault }, now);
            }
            if let Some(topic) = &publish.reply_topic
                && !self.allows(&generation, topic, false)
            {
                let fault = Fault::new(fault::PERMISSION, format!("receiving on `{topic}` is not allowed"));
                return self.feed(number, Input::Failed { task, fault }, now);
            }
        }
        let shared = Arc::clone(&self.shared);
        if let Request::Publish(publish) = &*request
            && publish.reply_topic.is_none()
        {
            let mut sending = shared.connectors.mqtt.publish(&generation.principal, publish);
            if let Poll::Ready(sent) = sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                let input = match sent {
                    Ok(()) => Input::Progress { task, stage: Stage::Accepted },
                    Err(error) => Input::Failed { task, fault: port_fault(&error, &publish.topic) },
                };
                return self.feed(number, input, now);
            }
            let topic = publish.topic.clone();
            let handle = self.tasks.spawn(async move {
                let sent = sending.await.map(|()| Reply::Empty).map_err(|error| port_fault(&error, &topic));
                (number, task, sent)
            });
            self.handles.insert((number, task), handle);
            return;
        }
        let sender = self.sender.clone();
        let progress = Box::new(move |stage| {
            if let Some(sender) = sender.upgrade() {
                drop(sender.try_send(Command::Progress { number, task, stage }));
            }
        });
        let job = Job {
            request: Arc::clone(&request),
            principal: Arc::clone(&generation.principal),
            execution: entry_id(&self.live[&number]),
            http_allow: Arc::clone(&generation.http_allow),
            progress,
        };
        self.hold(&job);
        let handle = self.tasks.spawn(async move { (number, task, shared.connectors.perform(job).await) });
        self.handles.insert((number, task), handle);
    }

    /// Keeps the response topic or server of a request in use.
    fn hold(&mut self, job: &Job) {
        let connectors = &self.shared.connectors;
        match &*job.request {
            Request::Publish(publish) => {
                if let Some(topic) = &publish.reply_topic
                    && !self.lanes.contains_key(topic)
                {
                    let lane = connectors.mqtt.lane(&job.principal.account, &job.principal.region, topic);
                    self.lanes.insert(topic.clone(), lane);
                }
            }
            Request::Modbus(call) => {
                if !self.buses.contains_key(&call.endpoint) {
                    self.buses.insert(call.endpoint.clone(), connectors.modbus.bus(&call.endpoint));
                }
            }
            Request::Http(_) | Request::Function(_) => {}
        }
    }

    /// The authority's answer, remembered while its version stands still.
    fn allows(&mut self, generation: &Generation, topic: &SmolStr, publish: bool) -> bool {
        let authority = &self.shared.connectors.authority;
        let version = authority.version();
        if version != self.decisions_version || self.decisions.len() > 10_000 {
            self.decisions.clear();
            self.decisions_version = version;
        }
        // Older generations may act under another role: their few questions are asked afresh.
        let is_current = generation.number == self.current.number;
        if is_current
            && publish
            && let Some(known) = self.decisions.get(topic)
        {
            return *known;
        }
        let action = if publish { FlowAction::Publish(topic) } else { FlowAction::Receive(topic) };
        let answer = authority.allows(&generation.principal, action);
        if is_current && publish {
            self.decisions.insert(topic.clone(), answer);
        }
        answer
    }

    fn task_done(&mut self, number: u64, task: TaskId, answer: Result<Reply, Fault>) {
        self.handles.remove(&(number, task));
        let now = self.shared.clock.now();
        let input = match answer {
            Ok(Reply::Empty) if !self.expects_reply(number, task) => Input::Progress { task, stage: Stage::Accepted },
            Ok(reply) => Input::Replied { task, reply },
            Err(fault) => Input::Failed { task, fault },
        };
        self.feed(number, input, now);
    }

    fn expects_reply(&self, number: u64, task: TaskId) -> bool {
        let Some(entry) = self.live.get(&number) else { return true };
        entry.exec.in_flight().find(|(known, _)| *known == task).is_none_or(|(_, request)| request.expects_reply())
    }

    /// When something is due without anybody asking.
    fn wake(&self) -> Option<Instant> {
        let clock = &self.shared.clock;
        let timers = self.timers.first().map(|(deadline, _)| *deadline);
        let monotonic = self.clocks.iter().filter(|trigger| !trigger.is_calendar()).map(|trigger| trigger.next);
        let retired = self.older.iter().map(|(_, until)| *until);
        let first = timers.into_iter().chain(monotonic).chain(retired).chain(self.rearm).min();
        let first = first.map(|time| clock.instant(time));
        let wall = clock.wall();
        let calendar = self
            .clocks
            .iter()
            .filter(|trigger| trigger.is_calendar())
            .map(|trigger| Instant::now() + Duration::from_millis(trigger.next.since(wall)).min(CALENDAR_CHECK));
        first.into_iter().chain(calendar).chain(self.sync_due).min()
    }

    /// Does what is due.
    async fn due(&mut self) {
        let now = self.shared.clock.now();
        while let Some(&(deadline, number)) = self.timers.first() {
            if deadline > now {
                break;
            }
            self.timers.remove(&(deadline, number));
            if let Some(entry) = self.live.get_mut(&number) {
                entry.deadline = None;
            }
            self.feed(number, Input::Tick, now);
        }
        if !self.clocks.is_empty() {
            self.fire_clocks(now);
        }
        if self.older.iter().any(|(_, until)| *until <= now) {
            self.end_grace(now);
        }
        if self.rearm.is_some_and(|time| time <= now) {
            let generation = Arc::clone(&self.current);
            self.rearm = match self.arm(&generation).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(deployment = %generation.deployment.id(), %error, "triggers are not armed yet");
                    Some(now.plus(REARM_MS))
                }
            };
        }
    }

    /// Aborts what still runs on generations whose grace is over (TG 7.6).
    fn end_grace(&mut self, now: Time) {
        let over: Vec<u32> =
            self.older.iter().filter(|(_, until)| *until <= now).map(|(generation, _)| generation.number).collect();
        let mut numbers: Vec<u64> = self
            .live
            .iter()
            .filter(|(_, entry)| over.contains(&entry.generation.number))
            .map(|(number, _)| *number)
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            self.feed(number, Input::Abort { reason: "redeployed".into() }, now);
        }
        self.older.retain(|(_, until)| *until > now);
    }

    async fn redeploy(&mut self, deployment: crate::Deployment) -> Result<(), DeployError> {
        if deployment == self.current.deployment {
            return Ok(());
        }
        deployment.check()?;
        let now = self.shared.clock.now();
        let generation = Arc::new(Generation::new(self.current.number + 1, now, deployment, &self.shared.metrics));
        self.arm(&generation).await?;
        self.decisions.clear();
        self.lanes.clear();
        self.buses.clear();
        let grace = self.shared.options.redeploy_grace.as_millis() as u64;
        let old = std::mem::replace(&mut self.current, generation);
        self.older.push((old, now.plus(grace)));
        self.retire_idle();
        self.rotate()?;
        Ok(())
    }

    /// Undeploys what was recovered and never ran here.
    pub(crate) fn end(mut self) -> Result<(), JournalError> {
        self.undeploy()
    }

    fn undeploy(&mut self) -> Result<(), JournalError> {
        self.subscriptions.clear();
        let now = self.shared.clock.now();
        let mut numbers: Vec<u64> = self.live.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.feed(number, Input::Abort { reason: "undeployed".into() }, now);
        }
        self.waiting.clear();
        self.journal.push(|out| Record::Close.encode(out));
        self.journal.write()?;
        self.journal.file().sync_data().map_err(|cause| JournalError::Io { path: self.dir.clone(), cause })?;
        self.confirm_all();
        self.readable.set(self.position());
        if self.shared.history.is_none()
            && let Err(error) = std::fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(%error, "the journal of an undeployed deployment stays");
        }
        Ok(())
    }
}

fn entry_id(entry: &Live) -> SmolStr {
    entry.exec.id().clone()
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
