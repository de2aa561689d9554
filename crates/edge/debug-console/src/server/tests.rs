//! A console that strangers crowd: the one who knows the password gets in, and nobody holds a place for long.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_edge_ports::{ComponentDetails, Later, PortError, ReportedState};
use marram_tls::{ClientOptions, ClientStream, Connector};
use marram_types::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::passwords::USER;

const DEADLINE: Duration = Duration::from_secs(60);
const NEVER: Duration = Duration::from_secs(3600);
const PATIENT: Limits =
    Limits { places: 3, pause: Duration::from_millis(1), handshake: NEVER, header: NEVER, unproven: NEVER };

/// A core without components.
struct Nothing;

impl Components for Nothing {
    fn list(&self) -> Vec<ComponentDetails> {
        Vec::new()
    }
    fn details(&self, _: &str) -> Option<ComponentDetails> {
        None
    }
    fn restart<'a>(&'a self, name: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async move { Err(PortError::no_component(name)) })
    }
    fn stop<'a>(&'a self, name: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async move { Err(PortError::no_component(name)) })
    }
    fn pause<'a>(&'a self, name: &'a str) -> Later<'a, ()> {
        Box::pin(async move { Err(PortError::no_component(name)) })
    }
    fn resume<'a>(&'a self, name: &'a str) -> Later<'a, ()> {
        Box::pin(async move { Err(PortError::no_component(name)) })
    }
    fn report_state(&self, name: &str, _: ReportedState) -> Result<(), PortError> {
        Err(PortError::no_component(name))
    }
}

struct Site {
    console: Console,
    connector: Connector,
    password: String,
}

impl Site {
    async fn start(limits: Limits) -> Self {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let (console, roots_pem) =
            Console::with(limits, address, Arc::new(Nothing), SystemClock::shared()).await.unwrap();
        let connector = Connector::new(ClientOptions { roots_pem, ..ClientOptions::default() }).unwrap();
        let password = console.password().unwrap().password;
        Self { console, connector, password }
    }

    /// A connection that says nothing.
    async fn stranger(&self) -> TcpStream {
        TcpStream::connect(self.console.address()).await.unwrap()
    }

    /// A connection after its handshake.
    async fn client(&self) -> ClientStream<TcpStream> {
        let line = self.stranger().await;
        timeout(DEADLINE, self.connector.connect("localhost", line)).await.unwrap().unwrap()
    }

    /// The status of the answer to a request with this password; none when the connection is over.
    async fn ask(&self, line: &mut ClientStream<TcpStream>, password: Option<&str>) -> Option<u16> {
        let shown = password.map(|password| STANDARD.encode(format!("{USER}:{password}")));
        let shown = shown.map(|shown| format!("Authorization: Basic {shown}\r\n")).unwrap_or_default();
        let request = format!("GET /components HTTP/1.1\r\nHost: localhost\r\n{shown}\r\n");
        let answer = async {
            line.write_all(request.as_bytes()).await.ok()?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(line.read_u8().await.ok()?);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let (_, rest) = head.split_once("content-length: ")?;
            let length = rest.split_once('\r')?.0.parse().ok()?;
            line.read_exact(&mut vec![0; length]).await.ok()?;
            head.split(' ').nth(1)?.parse().ok()
        };
        timeout(DEADLINE, answer).await.unwrap()
    }
}

/// Waits until the other end has closed this connection.
async fn is_closed(line: &mut (impl AsyncReadExt + Unpin)) {
    let mut rest = [0; 1024];
    let end = async { while line.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    timeout(DEADLINE, end).await.expect("the connection stays open");
}

/// CR 7.3: the room is full of connections that do not even begin; who knows the password gets in, and stays while others come.
#[tokio::test]
async fn a_crowd_keeps_nobody_out() {
    let site = Site::start(PATIENT).await;
    let mut crowd = Vec::new();
    for _ in 0..PATIENT.places * 4 {
        crowd.push(site.stranger().await);
    }
    let mut line = site.client().await;
    assert_eq!(site.ask(&mut line, Some(&site.password)).await, Some(200));
    for _ in 0..PATIENT.places * 4 {
        crowd.push(site.stranger().await);
    }
    // The crowd is through when its last one has pushed out one before it.
    let newest = crowd.len() - PATIENT.places;
    is_closed(&mut crowd[newest - 1]).await;
    assert_eq!(site.ask(&mut line, Some(&site.password)).await, Some(200));
}

/// A handshake that does not come, a request that comes in drops, and one after the other without a password: each has its time.
#[tokio::test]
async fn nobody_holds_a_place_for_long() {
    let short = Duration::from_millis(300);
    let site = Site::start(Limits { handshake: short, ..PATIENT }).await;
    is_closed(&mut site.stranger().await).await;

    let site = Site::start(Limits { header: short, ..PATIENT }).await;
    let mut line = site.client().await;
    let drops = async {
        for byte in b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'a')) {
            if line.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, drops).await.expect("a request may take for ever");

    let site = Site::start(Limits { unproven: short, ..PATIENT }).await;
    let mut stranger = site.client().await;
    // On a machine that is busy the time may be over before the password is there.
    let mut operator = loop {
        let mut line = site.client().await;
        if site.ask(&mut line, Some(&site.password)).await == Some(200) {
            break line;
        }
    };
    while let Some(status) = site.ask(&mut stranger, None).await {
        assert_eq!(status, 401);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(site.ask(&mut operator, Some(&site.password)).await, Some(200), "who showed the password stays");
}
