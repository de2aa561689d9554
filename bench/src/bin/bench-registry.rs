//! The registry without HTTP around it: calls of the service, and sessions of devices, per second.
//!
//! `bench-registry [--things N] [--clients N] [--seconds N] [--dir DIR]`: creates N things durably (with their audit
//! records), then describes and lists them, opens device sessions, and measures how long a policy change takes to reach
//! all live sessions. One JSON line per result.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use marram_audit::Audit;
use marram_aws_api::ServiceId;
use marram_broker::{ConnectAttributes, SessionAuthority, Tenant};
use marram_identity::{CallFacts, Identity, IdentityOptions, Principal, Service, TlsDetails};
use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
use marram_registry::{DeviceAuthority, Endpoints, LiveSessions, MIGRATIONS, Registry, RegistryOptions};
use marram_store::{Store, StoreOptions};
use marram_types::{AccountId, CertificateId, Clock, Partition, Region, RequestId, SystemClock};
use serde_json::{Value, json};

#[derive(Parser)]
struct Options {
    /// Things to create.
    #[arg(long, default_value_t = 100_000)]
    things: u64,
    /// Concurrent callers.
    #[arg(long, default_value_t = 64)]
    clients: u64,
    /// Seconds per reading measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Certificates with a live session each.
    #[arg(long, default_value_t = 1_000)]
    sessions: u64,
    /// Where the store is made; a temporary directory if absent.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Clone)]
struct House {
    identity: Identity,
    registry: Registry,
}

impl House {
    async fn call(&self, name: &'static str, input: Value) -> Result<Value> {
        let operation = ServiceId::Iot.operation(name).context("no such operation")?;
        let facts = CallFacts {
            region: Region::default_region(),
            request_id: RequestId::fresh(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: String::new(),
            now: SystemClock.now(),
            operation,
            request_parameters: input.clone(),
            tls: TlsDetails::default(),
        };
        let principal = Principal::root(AccountId::first(), "aws");
        let ctx = self.identity.context(principal, facts);
        let answer = self.registry.call(&ctx, operation, input).await;
        ctx.finish(&answer);
        Ok(answer?)
    }
}

struct Nobody;

impl LiveSessions for Nobody {
    fn reauthorize(&self, _: &Tenant, _: &str) {}
}

fn report(name: &str, things: u64, count: u64, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    let line = json!({"bench": "registry", "name": name, "things": things, "count": count,
        "seconds": took.as_secs_f64(), "per_second": rate.round()});
    println!("{line}");
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let temporary = std::env::temp_dir().join(format!("bench-registry-{}", std::process::id()));
    let dir = options.dir.clone().unwrap_or_else(|| temporary.clone());
    let outcome = run(&options, &dir).await;
    if options.dir.is_none() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    outcome
}

async fn run(options: &Options, dir: &std::path::Path) -> Result<()> {
    let store = Store::open(dir, StoreOptions::default())?;
    let clock = SystemClock::shared();
    let audit = Audit::open(store.clone(), dir, clock.clone())?;
    let identity = Identity::open(store.clone(), audit.clone(), clock.clone(), IdentityOptions::default())?;
    store.migrate(MIGRATIONS)?;
    let now = SystemClock.now().as_secs();
    let ca = Arc::new(CertificateAuthority::create("bench", Validity::starting(now, 86_400))?);
    let registry = Registry::new(RegistryOptions::new(Arc::clone(&ca), Endpoints::single("localhost")));
    let house = House { identity, registry };

    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let writers = (0..options.clients).map(|_| {
        let (house, next, things) = (house.clone(), Arc::clone(&next), options.things);
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= things {
                    return Ok::<_, anyhow::Error>(());
                }
                let attributes = json!({"attributes": {"line": format!("{}", number % 100)}});
                house
                    .call("CreateThing", json!({"thingName": format!("t{number:08}"), "attributePayload": attributes}))
                    .await?;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    report("CreateThing", options.things, options.things, started.elapsed());

    let things = options.things;
    read(
        options,
        &house,
        "DescribeThing",
        move |number| json!({"thingName": format!("t{:08}", number * 7919 % things)}),
    )
    .await?;
    read(options, &house, "ListThings", |_| json!({"maxResults": 25})).await?;
    let first = house.call("ListThings", json!({"maxResults": 1})).await?;
    anyhow::ensure!(first["things"].as_array().is_some_and(|list| list.len() == 1));
    read(
        options,
        &house,
        "ListThings by attribute",
        move |number| json!({"maxResults": 25, "attributeName": "line", "attributeValue": format!("{}", number % 100)}),
    )
    .await?;

    sessions(options, &house, store, clock, &ca, now).await?;
    audit.close();
    Ok(())
}

async fn read(
    options: &Options,
    house: &House,
    name: &'static str,
    input: impl Fn(u64) -> Value + Clone + Send + 'static,
) -> Result<()> {
    let operation = name.split(' ').next().unwrap_or(name);
    let operation: &'static str = match operation {
        "DescribeThing" => "DescribeThing",
        _ => "ListThings",
    };
    let deadline = Instant::now() + Duration::from_secs(options.seconds);
    let started = Instant::now();
    let readers = (0..options.clients.min(8)).map(|reader| {
        let (house, input) = (house.clone(), input.clone());
        tokio::spawn(async move {
            let mut count = 0;
            while Instant::now() < deadline {
                house.call(operation, input(count * 8 + reader)).await?;
                count += 1;
                if count % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Ok::<_, anyhow::Error>(count)
        })
    });
    let mut total = 0;
    for reader in readers.collect::<Vec<_>>() {
        total += reader.await??;
    }
    report(name, options.things, total, started.elapsed());
    Ok(())
}

async fn sessions(
    options: &Options,
    house: &House,
    store: Store,
    clock: marram_types::SharedClock,
    ca: &CertificateAuthority,
    now: i64,
) -> Result<()> {
    let pair = DeviceKeyPair::generate()?;
    let document = |topic: &str| {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:000000000000:client/${iot:Connection.Thing.ThingName}"},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": format!("arn:aws:iot:us-east-1:000000000000:topic/{topic}/${{iot:ClientId}}/*")},
        ]})
        .to_string()
    };
    house.call("CreatePolicy", json!({"policyName": "devices", "policyDocument": document("a")})).await?;
    let mut ids: Vec<(CertificateId, String)> = Vec::new();
    for number in 0..options.sessions {
        let certificate = ca.issue_device(pair.public_key(), Validity::starting(now, 86_400))?;
        let text = pem::encode_certificate(certificate.der());
        let made =
            house.call("RegisterCertificateWithoutCA", json!({"certificatePem": text, "status": "ACTIVE"})).await?;
        let (thing, arn) = (format!("t{:08}", number % options.things), &made["certificateArn"]);
        house.call("AttachThingPrincipal", json!({"thingName": thing, "principal": arn})).await?;
        house.call("AttachPolicy", json!({"policyName": "devices", "target": arn})).await?;
        ids.push((certificate.id(), thing));
    }
    let authority = DeviceAuthority::new(&house.registry, store, Partition::aws(), clock, None);
    let watcher = tokio::spawn({
        let authority = authority.clone();
        async move { authority.watch(Arc::new(Nobody)).await }
    });
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let started = Instant::now();
    let mut live = Vec::new();
    for (id, thing) in &ids {
        let session = authority.session(id, Some(thing), source).map_err(|error| anyhow::anyhow!("{error}"))?;
        anyhow::ensure!(session.connect(thing, ConnectAttributes::default()).is_allow(), "{thing} may not connect");
        live.push((session, thing));
    }
    report("device session, one thread", options.things, options.sessions, started.elapsed());

    let started = Instant::now();
    let version = json!({"policyName": "devices", "policyDocument": document("b"), "setAsDefault": true});
    house.call("CreatePolicyVersion", version).await?;
    for (session, thing) in &live {
        while !session.publish(&format!("b/{thing}/x"), false).is_allow() {
            anyhow::ensure!(started.elapsed() < Duration::from_secs(60), "the change does not arrive");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    report("policy change to every session", options.things, options.sessions, started.elapsed());

    let started = Instant::now();
    let rounds = 200_000;
    let (session, thing) = &live[0];
    let topic = format!("b/{thing}/x");
    let allowed = (0..rounds).filter(|_| session.publish(&topic, false).is_allow()).count();
    anyhow::ensure!(allowed == rounds, "a decision changed");
    report("uncached decision", options.things, rounds as u64, started.elapsed());
    watcher.abort();
    Ok(())
}
