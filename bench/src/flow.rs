//! `flow`: what a flow costs. The engine alone, the runtime behind an in-process broker, memory and start.
//!
//! One message in, one message out: a device event starts an execution of one step, which publishes to a device. The
//! runtime runs on one thread together with the generator; authorization is asked and the journal is written as in
//! production, history is off. Latency is one message at a time, from the event to the publish.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use marram_expr::{DataType, PropertyType, Value, classify, parse_template};
use marram_flow::convert::Conversion;
use marram_flow::event::Join;
use marram_flow::program::{
    Action, ActionInput, Activity, Argument, Call, Device, EventSource, Flow, Operation, ParamValue, Parameter,
    RequestParam, Site, Step, Thing,
};
use marram_flow::snapshot::{Binding, Condition, FlowRole, StartFlow, Trigger};
use marram_flow::{Execution, Input, Origin, Quiet, Snapshot, Stage, Time, step_into};
use marram_flow_runtime::{
    Authority, Deliver, Deployment, Durability, FlowAction, FlowPrincipal, Incoming, MessagePort, Outgoing, Pending,
    PortError, Ports, RuntimeHandle, RuntimeOptions, Subscription,
};
use serde_json::json;

/// Engine, runtime, memory.
#[derive(Parser)]
#[command(name = "flow")]
struct Options {
    /// What to measure, in order: engine, throughput, latency, memory.
    #[arg(long, value_delimiter = ',', default_value = "engine,throughput,latency,memory")]
    what: Vec<String>,
    /// Seconds measured per result, after half a second of warming up.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Where the journal is written; default: a directory below the current one, removed afterwards.
    #[arg(long)]
    dir: Option<std::path::PathBuf>,
}

/// Runs the family; one JSON line per result.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse_from(std::iter::once("flow".to_owned()).chain(args.iter().cloned()));
    for what in &options.what {
        match what.as_str() {
            "engine" => engine(&options),
            "throughput" => {
                for durability in [Durability::ProcessDeath, Durability::PowerLoss] {
                    on_one_thread(&options, durability, throughput)?;
                }
            }
            "latency" => {
                limit(&options)?;
                for durability in [Durability::ProcessDeath, Durability::PowerLoss] {
                    on_one_thread(&options, durability, latency)?;
                }
            }
            "memory" => memory(&options)?,
            other => anyhow::bail!("nothing called {other}; there are: engine, throughput, latency, memory"),
        }
    }
    Ok(())
}

fn property(data_type: DataType) -> Arc<PropertyType> {
    Arc::new(PropertyType::built_in(data_type))
}

fn snapshot() -> Result<Snapshot> {
    let home = "urn:tdm:eu-local-1/100200300400/default";
    let mut site =
        Site::new("eu-local-1", "100200300400", format!("{home}:Deployment:Bench"), format!("{home}:System:Bench"));
    let string = property(DataType::String);
    let input = ActionInput {
        name: "text".into(),
        property: string.clone(),
        is_required: true,
        default: None,
        is_secret: false,
    };
    let display = Action {
        name: "display".into(),
        inputs: vec![input],
        returns: None,
        operation: Operation::Publish {
            topic: parse_template("${systemRuntime.deviceId}/display")?,
            params: vec![RequestParam {
                name: "text".into(),
                property: Some(string.clone()),
                value: ParamValue::Expr(classify("${text.value}")?),
            }],
            response: None,
        },
    };
    let moved = EventSource {
        name: "moved".into(),
        topic: parse_template("${systemRuntime.deviceId}/motion")?,
        payload: Some(property(DataType::Json)),
    };
    let model = format!("{home}:DeviceModel:Box");
    site.devices.push(Device {
        id: format!("{home}:Device:Box").into(),
        models: vec![model.clone().into()],
        actions: vec![display],
        events: vec![moved],
    });
    site.things.insert("box-1".into(), Thing { device: 0, roles: vec!["box".into()], modbus_endpoint: None });
    let step = Step {
        name: "show".into(),
        inlets: vec![],
        join: Join::Start,
        out_events: vec![],
        condition: None,
        timeout_ms: None,
        activity: Activity::Device {
            model: model.into(),
            pinned: None,
            thing: classify("box-1")?,
            call: Call {
                action: "display".into(),
                args: vec![Argument {
                    name: "text".into(),
                    value: classify("${text}")?,
                    conversion: Conversion::Coerce,
                }],
                out: None,
            },
        },
        retries: vec![],
        catches: vec![],
        checks: vec![],
    };
    let text = Parameter { name: "text".into(), property: string, is_required: true, default: None, is_secret: false };
    let flow = Flow {
        id: format!("{home}:Workflow:Show").into(),
        revision: 1,
        parameters: vec![text],
        variables: vec![],
        events: vec![],
        steps: vec![step],
    };
    let last = "devices[name == 'box'].events[name == 'moved'].lastEvent";
    let marram_expr::TriggerCondition::Event(expr) =
        marram_expr::parse_trigger_condition(&format!("{last}.on == true"))?
    else {
        anyhow::bail!("the condition names an event");
    };
    let start = marram_expr::parse_start_flow(&format!("ThingsGraph.startFlow('Show', {last}.id)"))?;
    let action = StartFlow { role: "Show".into(), arguments: start.args };
    Ok(Snapshot {
        site: Arc::new(site),
        flows: vec![FlowRole { role: "Show".into(), flow: Arc::new(flow) }],
        bindings: vec![Binding { role: "box".into(), thing: "box-1".into() }],
        triggers: vec![Trigger {
            name: "Motion".into(),
            condition: Condition::Event { expr, events: vec![("box".into(), "moved".into())] },
            actions: vec![action],
        }],
    })
}

fn payload(number: u64) -> Vec<u8> {
    format!("{{\"on\":true,\"id\":\"m{number}\"}}").into_bytes()
}

/// Executions a second of the engine alone: created, started, its publish accepted, ended.
fn engine(options: &Options) {
    let Ok(snapshot) = snapshot() else { return };
    let program = snapshot.programs().remove(0);
    let mut sink = Quiet::default();
    let mut one = |number: u64| {
        let now = Time(1_700_000_000_000);
        let origin = Origin {
            id: "urn:tdm:eu-local-1/100200300400/default:Workflow:Show_2026".into(),
            trigger: "Motion".into(),
            params: vec![Value::string(if number.is_multiple_of(2) { "even" } else { "odd" })],
        };
        let mut execution = Execution::new(&program, origin, now);
        step_into(&program, &mut execution, Input::Start, now, &mut sink);
        step_into(&program, &mut execution, Input::Progress { task: 0, stage: Stage::Accepted }, now, &mut sink);
        sink.0.clear();
    };
    let (done, took) = repeat(options, &mut one);
    println!("{}", json!({"bench": "flow_engine", "unit": "executions/s", "value": rate(done, took)}));
}

/// Calls `one` in rounds for the measured time; answers calls and time.
fn repeat(options: &Options, one: &mut dyn FnMut(u64)) -> (u64, Duration) {
    let mut round = |length: Duration| {
        let start = Instant::now();
        let mut done = 0;
        while start.elapsed() < length {
            for number in 0..1_000 {
                one(number);
            }
            done += 1_000;
        }
        (done, start.elapsed())
    };
    round(Duration::from_millis(500));
    round(Duration::from_secs_f64(options.seconds))
}

fn rate(done: u64, took: Duration) -> u64 {
    (done as f64 / took.as_secs_f64()) as u64
}

/// A broker that counts and remembers whom to tell.
#[derive(Default)]
struct Counting {
    published: AtomicU64,
    event: Mutex<Option<Deliver>>,
    published_at: Mutex<Option<Instant>>,
    told: tokio::sync::Notify,
}

impl MessagePort for Counting {
    fn publish<'a>(&'a self, _: &'a FlowPrincipal, _: Outgoing) -> Pending<'a, Result<(), PortError>> {
        self.published.fetch_add(1, Ordering::Relaxed);
        *self.published_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
        self.told.notify_one();
        Box::pin(std::future::ready(Ok(())))
    }

    fn subscribe<'a>(
        &'a self,
        _: &'a FlowPrincipal,
        _: smol_str::SmolStr,
        deliver: Deliver,
    ) -> Pending<'a, Result<Subscription, PortError>> {
        *self.event.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(deliver);
        let guard: Subscription = Box::new(());
        Box::pin(std::future::ready(Ok(guard)))
    }
}

struct Everything;

impl Authority for Everything {
    fn allows(&self, _: &FlowPrincipal, _: FlowAction<'_>) -> bool {
        true
    }

    fn version(&self) -> u64 {
        0
    }

    fn credentials<'a>(
        &'a self,
        _: &'a FlowPrincipal,
        _: &'a str,
    ) -> Pending<'a, Result<Arc<marram_sigv4::Credentials>, String>> {
        Box::pin(std::future::ready(Err("no role here".to_owned())))
    }
}

struct Bench<'a> {
    options: &'a Options,
    broker: Arc<Counting>,
    deliver: Deliver,
    durability: Durability,
}

impl Bench<'_> {
    fn send(&self, number: u64) {
        (self.deliver)(Incoming { topic: "box-1/motion".into(), payload: payload(number).into(), retained: false });
    }

    fn published(&self) -> u64 {
        self.broker.published.load(Ordering::Relaxed)
    }

    fn name(&self) -> &'static str {
        match self.durability {
            Durability::PowerLoss => "power_loss",
            Durability::ProcessDeath => "process_death",
        }
    }
}

fn scratch(options: &Options) -> std::path::PathBuf {
    let base = options.dir.clone().unwrap_or_else(|| ".".into());
    base.join(format!("flow-bench-{}", marram_types::random_hex(4)))
}

async fn start(dir: &std::path::Path, durability: Durability) -> Result<(RuntimeHandle, Arc<Counting>, Deliver)> {
    let broker = Arc::new(Counting::default());
    let ports = Ports { messages: Arc::clone(&broker) as _, authority: Arc::new(Everything), history: None };
    let options = RuntimeOptions { durability, events_per_second: 0, ..RuntimeOptions::new(dir) };
    let runtime = RuntimeHandle::open(options, ports, &marram_obs::Metrics::new()).await?;
    let principal = FlowPrincipal {
        account: "100200300400".into(),
        region: "eu-local-1".into(),
        role_arn: None,
        deployment: "bench".into(),
    };
    let deployment = Deployment { snapshot: snapshot()?, principal, http_allow: vec![], metrics_enabled: false };
    runtime.deploy(deployment).await?;
    let deliver = broker.event.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    Ok((runtime, broker, deliver.context("no trigger subscribed")?))
}

fn on_one_thread(
    options: &Options,
    durability: Durability,
    measure: impl AsyncFnOnce(&Bench<'_>) -> Result<()>,
) -> Result<()> {
    let dir = scratch(options);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = tokio.block_on(async {
        let (runtime, broker, deliver) = start(&dir, durability).await?;
        let result = measure(&Bench { options, broker, deliver, durability }).await;
        runtime.shutdown().await;
        result
    });
    std::fs::remove_dir_all(&dir)?;
    result
}

/// Messages a second through the runtime, with up to a window of them under way.
async fn throughput(bench: &Bench<'_>) -> Result<()> {
    const WINDOW: u64 = 4_096;
    let mut sent = 0;
    for (seconds, is_measured) in [(0.5, false), (bench.options.seconds, true)] {
        let (start, before) = (Instant::now(), bench.published());
        while start.elapsed().as_secs_f64() < seconds {
            while sent - bench.published() < WINDOW {
                bench.send(sent);
                sent += 1;
            }
            tokio::task::yield_now().await;
        }
        if is_measured {
            let value = rate(bench.published() - before, start.elapsed());
            let name = bench.name();
            println!(
                "{}",
                json!({"bench": "flow_throughput", "durability": name, "unit": "messages/s", "value": value})
            );
        }
    }
    while bench.published() < sent {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// What the disk gives: an append of a record's size and `fdatasync`, nothing else. No durable step is shorter.
fn limit(options: &Options) -> Result<()> {
    const RECORD: [u8; 200] = [b'x'; 200];
    let path = scratch(options);
    let mut file = std::fs::File::create_new(&path)?;
    let mut spread = Vec::new();
    let end = Instant::now() + Duration::from_secs_f64(options.seconds);
    while Instant::now() < end {
        let began = Instant::now();
        file.write_all(&RECORD)?;
        file.sync_data()?;
        spread.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    print_latency("limit", "fdatasync", spread);
    Ok(())
}

fn print_latency(target: &str, durability: &str, mut spread: Vec<Duration>) {
    spread.sort_unstable();
    let at = |part: f64| spread[((spread.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1_000.0;
    println!(
        "{}",
        json!({"bench": "flow_latency", "target": target, "durability": durability, "unit": "us", "p50": at(0.5),
               "p99": at(0.99), "samples": spread.len()})
    );
}

/// From the event to the publish, one message at a time.
async fn latency(bench: &Bench<'_>) -> Result<()> {
    let mut spread = Vec::new();
    let end = Instant::now() + Duration::from_secs_f64(bench.options.seconds);
    let mut number = 0;
    while Instant::now() < end {
        let sent = Instant::now();
        bench.send(number);
        number += 1;
        while bench.published() < number {
            bench.broker.told.notified().await;
        }
        let at = bench.broker.published_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        spread.push(at.map_or(Duration::ZERO, |at| at - sent));
    }
    print_latency("marram", bench.name(), spread);
    Ok(())
}

/// From nothing to the first message out, and what the process holds afterwards, idle.
fn memory(options: &Options) -> Result<()> {
    let dir = scratch(options);
    let began = Instant::now();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let first = tokio.block_on(async {
        let (runtime, broker, deliver) = start(&dir, Durability::PowerLoss).await?;
        deliver(Incoming { topic: "box-1/motion".into(), payload: payload(0).into(), retained: false });
        broker.told.notified().await;
        let first = began.elapsed();
        runtime.shutdown().await;
        Ok::<_, anyhow::Error>(first)
    })?;
    std::fs::remove_dir_all(&dir)?;
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let kib = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
    };
    let milliseconds = first.as_secs_f64() * 1_000.0;
    println!("{}", json!({"bench": "flow_start", "unit": "ms", "value": milliseconds}));
    println!("{}", json!({"bench": "flow_memory", "unit": "KiB", "pss": kib("Pss:"), "rss": kib("Rss:")}));
    Ok(())
}
