//! Modbus TCP and HTTP against real servers on loopback (TG 10.3, 10.4).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use marram_expr::{DataType, classify, parse_template};
use marram_flow::convert::Conversion;
use marram_flow::program::{Action, ActionInput, Activity, Call, HttpOperation, Operation, Service, SigV4Scope, Site};
use marram_flow_runtime::{Durability, RuntimeOptions};
use serde_json::{Map, Value as Json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

use crate::common::support::{property, site};
use crate::common::*;

fn options(dir: &tempfile::TempDir) -> RuntimeOptions {
    RuntimeOptions { durability: Durability::ProcessDeath, ..RuntimeOptions::new(dir.path().join("flows")) }
}

/// Runs the first flow by hand and answers the payloads of its messages by event type.
pub async fn run(world: &World) -> HashMap<&'static str, Json> {
    let id = world.runtime.start(DEPLOYMENT, "Irrigate", Map::new()).await.unwrap();
    until("the end", || {
        world
            .memory
            .events(&id)
            .iter()
            .any(|event| matches!(*event, "EXECUTION_SUCCEEDED" | "EXECUTION_FAILED"))
            .then_some(())
    })
    .await;
    let batches = world.memory.batches.lock().unwrap();
    let mut found = HashMap::new();
    for batch in batches.iter() {
        let own = batch.messages.iter().filter(|message| batch.executions[message.execution].execution == id);
        found.extend(own.map(|message| (message.event_type.as_str(), serde_json::from_str(&message.payload).unwrap())));
    }
    found
}

#[derive(Clone, Default)]
struct Registers(Arc<Mutex<HashMap<u16, u16>>>);

impl tokio_modbus::server::Service for Registers {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = std::future::Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let mut registers = self.0.lock().unwrap();
        assert_eq!(request.slave, 7);
        std::future::ready(match request.request {
            Request::ReadHoldingRegisters(address, count) => {
                let known: Option<Vec<u16>> =
                    (address..address + count).map(|at| registers.get(&at).copied()).collect();
                known.map(Response::ReadHoldingRegisters).ok_or(ExceptionCode::IllegalDataAddress)
            }
            Request::WriteMultipleRegisters(address, words) => {
                registers.extend((address..).zip(words.iter().copied()));
                Ok(Response::WriteMultipleRegisters(address, words.len() as u16))
            }
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

/// TG 10.3: a value written is the value read, over TCP; exception responses and dead servers have their own errors.
#[tokio::test]
async fn modbus_values_travel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let registers = Registers::default();
    let service = registers.clone();
    let server = tokio::spawn(async move {
        let accept = move |stream, peer| {
            let service = service.clone();
            async move { accept_tcp_connection(stream, peer, move |_| Ok(Some(service.clone()))) }
        };
        drop(Server::new(listener).serve(&accept, drop).await);
    });
    let dir = tempfile::tempdir().unwrap();
    let world = world(options(&dir)).await;
    let on = |flow: support::Build, allow: &str| {
        let mut deployment = deployment_on(modbus_site(&address.to_string(), 7, 7), flow.flow, vec![]);
        deployment.http_allow = vec![allow.into()];
        world.runtime.deploy(deployment)
    };
    let deploy = |flow: support::Build| on(flow, "127.0.0.1");
    let write = || flow().step(S { name: "write", action: "dose", args: &[("litres", "${7.5}")], ..S::default() });
    on(write(), "10.0.0.9").await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.Permission", "TG 10.4: loopback is not public: {said:?}");
    assert!(registers.0.lock().unwrap().is_empty());
    let both = flow()
        .variable("r", DataType::Float32)
        .step(S { name: "write", action: "dose", args: &[("litres", "${2.5}")], out: &["done"], ..S::default() })
        .step(S { name: "read", when: "done", action: "sample", result: "r", ..S::default() });
    deploy(both).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["ACTIVITY_SUCCEEDED"]["value"], 2.5, "{said:?}");
    assert_eq!(registers.0.lock().unwrap()[&100], 0x4020);
    // TG 11.3: reading and writing are asked for by themselves, on the thing.
    *world.rights.denied.lock().unwrap() = Some("thing/valve-1".to_owned());
    deploy(write()).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.Permission", "{said:?}");
    let message = said["EXECUTION_FAILED"]["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("not authorized to perform iotthingsgraph:WriteModbus on thing/valve-1"), "{message}");
    assert_eq!(registers.0.lock().unwrap()[&100], 0x4020, "nothing was written");
    *world.rights.denied.lock().unwrap() = None;
    deploy(flow().step(S { name: "read", action: "ping", ..S::default() })).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.ModbusException");
    assert_eq!(said["EXECUTION_FAILED"]["errorMessage"], "fc=3 code=2");
    server.abort();
    drop(server.await);
    let gone = flow().step(S { name: "read", action: "sample", timeout_ms: Some(2_000), ..S::default() });
    deploy(gone).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.ModbusIO", "{said:?}");
    world.runtime.shutdown().await;
}

/// A web server of one answer per connection; hands over what it was asked.
async fn web(answer: &'static str) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let wanted = text.split_once("\r\n\r\n").map(|(head, _)| {
                    let length = head
                        .lines()
                        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                    head.len() + 4 + length.unwrap_or(0)
                });
                if read == 0 || wanted.is_some_and(|wanted| request.len() >= wanted) {
                    drop(sender.send(text));
                    break;
                }
            }
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (address, asked)
}

fn http_site(address: SocketAddr, is_signed: bool) -> Site {
    let mut site = site();
    site.allow_insecure_http = true;
    let input = ActionInput {
        name: "q".into(),
        property: property(DataType::String),
        is_required: false,
        default: None,
        is_secret: false,
    };
    site.services.push(Service {
        id: "urn:tdm:x:Service:Web".into(),
        actions: vec![Action {
            name: "ask".into(),
            inputs: vec![input],
            returns: Some(property(DataType::Json)),
            operation: Operation::Http(Box::new(HttpOperation {
                method: "POST".into(),
                url: parse_template(&format!("http://{address}/v1/${{q.value}}")).unwrap(),
                sigv4: is_signed.then(|| SigV4Scope { service: "execute-api".into(), region: None }),
                headers: vec![param("X-Note", "n"), param("Host", "evil"), param("Authorization", "evil")],
                query: vec![param("a b", "${q.value}")],
                body: vec![param("text", "${q.value}")],
                response: Some(property(DataType::Json)),
            })),
        }],
    });
    site
}

fn asking() -> marram_flow::Flow {
    let mut flow =
        flow().variable("r", DataType::Json).step(S { name: "ask", action: "ping", result: "r", ..S::default() }).flow;
    let out = match &flow.steps[0].activity {
        Activity::Device { call, .. } => call.out.clone(),
        _ => None,
    };
    flow.steps[0].activity = Activity::Service {
        service: "urn:tdm:x:Service:Web".into(),
        call: Call {
            action: "ask".into(),
            args: vec![marram_flow::program::Argument {
                name: "q".into(),
                value: classify("a/b?c").unwrap(),
                conversion: Conversion::Coerce,
            }],
            out,
        },
    };
    flow
}

/// TG 10.4: the request as documented, signed with the flow role; loopback only through the allow-list; statuses are errors.
#[tokio::test]
async fn http_requests_are_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(options(&dir)).await;
    let (address, mut asked) = web("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"ok\":12}").await;
    let mut deployment = deployment_on(http_site(address, true), asking(), vec![]);
    world.runtime.deploy(deployment.clone()).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.Permission", "loopback is not public: {said:?}");
    deployment.http_allow = vec![address.to_string().into()];
    *world.rights.denied.lock().unwrap() = Some(format!("web-service/{address}"));
    world.runtime.deploy(deployment.clone()).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["EXECUTION_FAILED"]["error"], "TG.Permission", "{said:?}");
    let message = said["EXECUTION_FAILED"]["errorMessage"].as_str().unwrap();
    assert!(message.contains("iotthingsgraph:InvokeWebService on web-service/"), "{message}");
    assert!(asked.try_recv().is_err(), "nobody was asked");
    *world.rights.denied.lock().unwrap() = None;
    world.runtime.deploy(deployment).await.unwrap();
    let said = run(&world).await;
    assert_eq!(said["ACTIVITY_SUCCEEDED"]["value"], serde_json::json!({"ok": 12}), "{said:?}");
    let request = asked.recv().await.unwrap();
    let lower = request.to_lowercase();
    assert!(request.starts_with("POST /v1/a%2Fb%3Fc?a%20b=a%2Fb%3Fc HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"text\":\"a/b?c\"}"), "{request}");
    for line in ["x-note: n", "content-type: application/json", &format!("host: {address}"), "x-amz-date: "] {
        assert!(lower.contains(line), "{line} in {request}");
    }
    assert!(
        lower.contains("authorization: aws4-hmac-sha256 credential=akidexample/") && !lower.contains("evil"),
        "{request}"
    );
    assert!(!said["THING_ACTION_TASK"].to_string().contains("AWS4"), "no signature in the trace");

    for (answer, error) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "TG.Http.404"),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "TG.TaskFailed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope", "TG.PayloadInvalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", "TG.PayloadInvalid"),
    ] {
        let (address, _asked) = web(answer).await;
        let mut deployment = deployment_on(http_site(address, false), asking(), vec![]);
        deployment.http_allow = vec!["127.0.0.1".into()];
        world.runtime.deploy(deployment).await.unwrap();
        let said = run(&world).await;
        assert_eq!(said["EXECUTION_FAILED"]["error"], error, "{answer}");
    }
    world.runtime.shutdown().await;
}
