//! The server against raw bytes, and the client against the server, over in-memory pipes.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use marram_http::{
    Client, ClientError, ClientLimits, ClientRequest, Dial, Dialling, Handler, Head, HeaderMap, Method, Origin,
    Refusal, Response, ServerLimits, Stream, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Answers with what it was asked; `/panic` panics, `/sleep` never answers.
struct Echo;

impl Handler for Echo {
    fn body_limit(&self, _: &Head) -> usize {
        100
    }

    async fn handle(&self, head: &Head, body: Bytes) -> Response {
        match head.uri.path() {
            "/panic" => panic!("asked to"),
            "/sleep" => pending().await,
            _ => {}
        }
        let text = format!("{} {} {}", head.method, head.uri, String::from_utf8_lossy(&body));
        Response::new(Bytes::from(text))
    }

    fn refuse(&self, _: &Head, refusal: Refusal) -> Response {
        let mut response = Response::new(Bytes::from(format!("{refusal:?}")));
        *response.status_mut() = hyper::StatusCode::IM_A_TEAPOT;
        response
    }
}

fn limits() -> ServerLimits {
    ServerLimits {
        header_timeout: Duration::from_millis(300),
        request_deadline: Duration::from_millis(300),
        ..ServerLimits::default()
    }
}

fn connect() -> DuplexStream {
    let (near, far) = duplex(64 << 10);
    tokio::spawn(async move { serve(far, Arc::new(Echo), &limits(), pending()).await });
    near
}

/// Sends `bytes` and reads until the server closes or has nothing to say.
async fn exchange(bytes: &[u8]) -> String {
    let mut stream = connect();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the server did not close: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// CP 1.7, 10.4: what a connection accepts and refuses, and in which words.
#[tokio::test]
async fn connections_stay_within_their_limits() {
    let big_header = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "y".repeat(17 << 10));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    let rows: &[(&str, &str, &str)] = &[
        ("GET /a/../b//c%2F?q=%41 HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 200", "GET /a/../b//c%2F?q=%41 "),
        ("POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc", "HTTP/1.1 200", "POST /x abc"),
        ("POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 101\r\n\r\n", "HTTP/1.1 418", "BodyTooLarge"),
        (
            "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 101\r\nexpect: 100-continue\r\n\r\n",
            "HTTP/1.1 418",
            "BodyTooLarge",
        ),
        ("POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc", "HTTP/1.1 418", "Deadline"),
        ("GET /panic HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 418", "Panic"),
        ("GET /sleep HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 418", "Deadline"),
        ("nonsense\r\n\r\n", "HTTP/1.1 400", ""),
        (&big_header, "HTTP/1.1 431", ""),
        (&many_headers, "HTTP/1.1 431", ""),
        ("GET / HTTP/1.1\r\nhost", "", ""),
    ];
    for (sent, status, body) in rows {
        let answer = exchange(sent.as_bytes()).await;
        assert!(answer.starts_with(status), "{sent:.40}: {answer}");
        assert!(answer.ends_with(body), "{sent:.40}: {answer}");
        assert!(answer.is_empty() || answer.contains("\r\ndate: "), "{sent:.40}: {answer}");
    }
}

/// CP 1.7: the body is asked for as soon as it is wanted, so that S3-style clients do not stall.
#[tokio::test]
async fn expected_bodies_are_asked_for() {
    let mut stream = connect();
    stream
        .write_all(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
}

/// SEC 12.2: a panic ends its own request only; the connection and the server go on.
#[tokio::test]
async fn a_panic_stays_in_its_request() {
    let answer = exchange(b"GET /panic HTTP/1.1\r\nhost: h\r\n\r\nGET /next HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(answer.contains("Panic") && answer.ends_with("GET /next "), "{answer}");
}

/// Dials the echo server through a pipe and counts.
#[derive(Default)]
struct Pipes(Arc<AtomicUsize>);

impl Dial for Pipes {
    fn dial<'a>(&'a self, _: &'a Origin) -> Dialling<'a> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(Box::new(connect()) as Box<dyn Stream>) })
    }
}

fn get(url: &str, body: &'static str) -> ClientRequest {
    ClientRequest {
        method: Method::POST,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from(body),
    }
}

/// The client reuses connections, opens another when the kept one has closed, and keeps to its limits.
#[tokio::test]
async fn client_keeps_connections_and_limits() {
    let pipes = Pipes::default();
    let dialled = Arc::clone(&pipes.0);
    let client = Client::new(pipes, ClientLimits { body: 40, ..ClientLimits::default() });
    let soon = Duration::from_secs(30);
    for turn in 0..3 {
        let answer = client.send(get("http://peer:8080/a//b?c", "x"), soon).await.unwrap();
        assert_eq!(answer.body, "POST /a//b?c x", "{turn}");
    }
    assert_eq!(dialled.load(Ordering::Relaxed), 1);

    // The server closes idle connections after 300 ms; the next call must not fail for it.
    let closed = tokio::time::Instant::now() + soon;
    loop {
        client.send(get("http://peer:8080/", ""), soon).await.unwrap();
        if dialled.load(Ordering::Relaxed) > 1 {
            break;
        }
        assert!(tokio::time::Instant::now() < closed, "the idle connection never closed");
        tokio::time::sleep(Duration::from_millis(400)).await;
    }

    let long = client.send(get("http://peer/0123456789012345678901234567890123456789", ""), soon).await;
    assert!(matches!(long, Err(ClientError::TooLarge { limit: 40 })), "{long:?}");
    let slow = client.send(get("http://peer/sleep", ""), Duration::from_millis(50)).await;
    assert!(matches!(slow, Err(ClientError::Timeout { .. })), "{slow:?}");
    for url in ["ftp://peer/", "http://user@peer/"] {
        let refused = client.send(get(url, ""), soon).await;
        assert!(matches!(refused, Err(ClientError::Url(_))), "{url} {refused:?}");
    }
}
