//! The line against the real broker over mTLS, through a network that is cut (CR 5.2, 7.6, 9.6).

#[path = "line/site.rs"]
mod site;

use std::path::Path;
use std::time::Duration;

use marram_broker::{LocalClient, Tenant};
use marram_edge_ports::{CloudMessages, CloudPublish, Hurdle, Outage, PortError};
use marram_types::SystemClock;
use marram_uplink::{LineSettings, SpoolOptions, Uplink};
use site::{DEADLINE, Flaws, Site, day, message, network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

fn start(settings: Option<LineSettings>, dir: &Path) -> Uplink {
    Uplink::start(settings, SpoolOptions { dir: dir.to_owned(), max_bytes: 2_621_440 }, SystemClock::shared()).unwrap()
}

/// Reads until `count` different numbers came; they come in order, repeats aside.
async fn expect_all(reader: &mut LocalClient, count: usize) -> usize {
    let mut next = 0;
    let mut repeats = 0;
    while next < count {
        let received = timeout(DEADLINE, reader.recv()).await.unwrap_or_else(|_| panic!("stuck at {next} of {count}"));
        let n: usize = std::str::from_utf8(&received.message.payload).unwrap().parse().unwrap();
        assert!(n <= next, "{n} came before {next}: one was lost or out of order");
        if n == next {
            next += 1;
        } else {
            repeats += 1;
        }
    }
    repeats
}

/// CR 9.6: what was published offline arrives when the line is up, in order, none lost, none twice.
#[tokio::test]
async fn offline_messages_arrive_in_order() {
    let site = Site::start().await;
    let mut reader = site.reader();
    let dir = tempfile::tempdir().unwrap();
    let uplink = start(None, dir.path());
    for n in 0..300 {
        uplink.publish("c", message("t", n)).await.unwrap();
    }
    let qos0 = CloudPublish { qos: 0, ..message("t", 0) };
    assert_eq!(uplink.publish("c", qos0).await, Err(PortError::service("the client is offline and QoS is 0")));
    uplink.reconfigure(Some(site.settings(site.address.port()))).await;
    assert_eq!(expect_all(&mut reader, 300).await, 0);
    let mut connection = uplink.connection();
    timeout(DEADLINE, connection.wait_for(|up| *up)).await.unwrap().unwrap();
    uplink.stop().await;
}

/// CR 9.6, 7.6: a network that is cut again and again, and a core that dies in between, lose nothing and keep the order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_lose_nothing() {
    let site = Site::start().await;
    let mut reader = site.reader();
    let dir = tempfile::tempdir().unwrap();
    let (switch, up) = watch::channel(true);
    let port = network(site.address, up).await;
    let mut uplink = start(Some(site.settings(port)), dir.path());
    let mut sent = 0;
    for round in 0..12 {
        for _ in 0..40 {
            uplink.publish("c", message("t", sent)).await.unwrap();
            sent += 1;
        }
        switch.send_replace(round % 2 == 1);
        if round == 6 {
            // Dropped without a word: the spool is all that is left.
            drop(uplink);
            uplink = start(Some(site.settings(port)), dir.path());
        }
    }
    switch.send_replace(true);
    expect_all(&mut reader, sent).await;
    let settled = async {
        while uplink.spooled().0 > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, settled).await.unwrap();
}

/// Subscriptions survive a cut; a message comes once; the guard unsubscribes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_come_back() {
    let site = Site::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (switch, up) = watch::channel(true);
    let port = network(site.address, up).await;
    let uplink = start(Some(site.settings(port)), dir.path());
    let mut subscription = uplink.subscribe("c", "down/#", 1).await.unwrap();
    let mut connection = uplink.connection();
    timeout(DEADLINE, connection.wait_for(|up| *up)).await.unwrap().unwrap();
    for round in 0..3 {
        let topic = format!("down/{round}");
        uplink.publish("c", message(&topic, round)).await.unwrap();
        let received = timeout(DEADLINE, subscription.messages.recv()).await.unwrap().unwrap();
        assert_eq!((received.topic, received.qos), (topic, 1));
        switch.send_replace(false);
        timeout(DEADLINE, connection.wait_for(|up| !*up)).await.unwrap().unwrap();
        switch.send_replace(true);
        timeout(DEADLINE, connection.wait_for(|up| *up)).await.unwrap().unwrap();
    }
    assert!(subscription.messages.try_recv().is_err(), "nothing came twice");
    let tenant = Tenant::new("a");
    assert_eq!(site.broker.subscriptions(&tenant), 1);
    drop(subscription);
    let gone = async {
        while site.broker.subscriptions(&tenant) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone).await.unwrap();
}

/// CR 7.6, 10.3 (4): a forbidden topic does not block the others. MQTT 5 says so and the message is dropped; 3.1.1 can only hang
/// up, and the topic is set aside.
#[tokio::test]
async fn a_forbidden_topic_does_not_block_the_others() {
    let site = Site::start().await;
    let mut reader = site.reader();
    for (mqtt5, aside) in [(true, 0), (false, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let uplink = start(None, dir.path());
        for n in 0..20 {
            if n == 7 {
                uplink.publish("c", message("bad/topic", 0)).await.unwrap();
            }
            uplink.publish("c", message("t", n)).await.unwrap();
        }
        let settings = LineSettings { mqtt5, ..site.settings(site.address.port()) };
        uplink.reconfigure(Some(settings)).await;
        expect_all(&mut reader, 20).await;
        assert!(uplink.subscribe("c", "bad/#", 1).await.is_err());
        let settled = async {
            while uplink.spooled().0 > aside {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, settled).await.unwrap();
        assert_eq!(uplink.spooled().0, aside, "MQTT 5: {mqtt5}");
        uplink.stop().await;
    }
}

/// CR 7.6, 10.3 (4): topics that are forbidden and new each time, as those with an identifier in them, neither keep the line from standing nor
/// hold up topics that are allowed; whoever asks is told the topic.
#[tokio::test]
async fn forbidden_topics_that_are_new_each_time_leave_the_line_up() {
    for qos in [0, 1] {
        let site = Site::start().await;
        let mut reader = site.reader();
        let dir = tempfile::tempdir().unwrap();
        let uplink = start(Some(site.settings(site.address.port())), dir.path());
        uplink.publish("c", message("t", 0)).await.unwrap();
        expect_all(&mut reader, 1).await;
        let bad = |n: usize| CloudPublish { qos, ..message(&format!("bad/topic/{n}"), 0) };
        // Two of them end the connection; after that the line is up and stays so, for the first calm.
        let told = async {
            for n in 0.. {
                if uplink.denied().is_some_and(|denied| denied.times == 2) && *uplink.connection().borrow() {
                    break;
                }
                // While the line is down, one of QoS 0 is not kept.
                let _ = uplink.publish("c", bad(n)).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = timeout(DEADLINE, told).await;
        assert!(ended.is_ok(), "QoS {qos}: {:?}, {:?}", uplink.denied(), uplink.outage());
        let held = uplink.publish("c", bad(1_000_000)).await;
        assert_eq!(held.is_err(), qos == 0, "{held:?}");
        let denied = uplink.denied().unwrap();
        assert!(denied.times == 2 && denied.topic.starts_with("bad/topic/"), "{denied:?}");
        for n in 0..20 {
            uplink.publish("c", message("t", n)).await.unwrap();
        }
        expect_all(&mut reader, 20).await;
        assert!(qos == 0 || uplink.spooled().0 > 0, "the others wait");
        uplink.stop().await;
    }
}

/// CR 5.2: what a core refuses before it bothers the control plane.
#[tokio::test]
async fn topics_are_checked_at_home() {
    let dir = tempfile::tempdir().unwrap();
    let uplink = start(None, dir.path());
    for topic in ["", "a/+/b", "#", &"x".repeat(257), "1/2/3/4/5/6/7/8/9"] {
        assert!(
            matches!(uplink.publish("c", message(topic, 0)).await, Err(PortError::InvalidArguments(_))),
            "{topic:?} was taken"
        );
    }
    for topic in
        ["$aws/things/t/jobs/1/namespace-aws-gg-deployment/update", "$aws/rules/r/1/2/3/4/5/6/7/8", "1/2/3/4/5/6/7/8"]
    {
        uplink.publish("c", message(topic, 0)).await.unwrap();
    }
    let large = CloudPublish { payload: vec![0; 131_073].into(), ..message("t", 0) };
    assert!(matches!(uplink.publish("c", large).await, Err(PortError::InvalidArguments(_))));
}

/// Waits until the line is down for a reason, and answers how it stands.
async fn down(uplink: &Uplink) -> Outage {
    let told = async {
        loop {
            match uplink.outage() {
                Some(outage) if outage.trouble.is_some() => return outage,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    timeout(DEADLINE, told).await.unwrap()
}

/// A host that answers whatever comes with these bytes and hangs up.
async fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(bytes).await;
            });
        }
    });
    port
}

/// CR 9.6: why there is no line is told in words that lead to the cause, each kind of it with its own.
#[tokio::test]
async fn an_outage_says_why() {
    let site = Site::start().await;
    let port = site.address.port();
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let shut = closed.local_addr().unwrap().port();
    let (_cut, down_there) = watch::channel(false);
    let cut = network(site.address, down_there).await;
    let no_tls = answering(b"SSH-2.0-hello\r\n").await;
    let wall = answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let nowhere = format!("{}.invalid", "x".repeat(70));
    let flawed = async |flaws: Flaws| {
        let flawed = Site::with(flaws).await;
        flawed.settings(flawed.address.port())
    };
    let is_over = flawed(Flaws { server: day(-9), ..Flaws::default() }).await;
    let not_yet = flawed(Flaws { server: day(9), ..Flaws::default() }).await;
    let other = flawed(Flaws { name: "other.example", ..Flaws::default() }).await;
    let refused = flawed(Flaws { device: day(-9), ..Flaws::default() }).await;
    let denied = flawed(Flaws { lets_in: false, ..Flaws::default() }).await;
    let stranger = LineSettings { port, ..is_over.clone() };
    let to = |host: &str, port| LineSettings { host: host.to_owned(), ..site.settings(port) };
    let by =
        |proxy: u16| LineSettings { road: site.through(&format!("http://localhost:{proxy}")), ..site.settings(port) };
    #[rustfmt::skip]
    let table = [
        (to(&nowhere, port), Hurdle::Name, format!("the name {nowhere} was not found")),
        (to("127.0.0.1", shut), Hurdle::Refused, format!("nobody listens at 127.0.0.1:{shut}")),
        (site.settings(cut), Hurdle::Unreachable, format!("the connection to localhost:{cut} was cut during the TLS handshake")),
        (site.settings(no_tls), Hurdle::Protocol, format!("localhost:{no_tls} does not speak TLS")),
        (by(wall), Hurdle::Proxy, format!("the proxy localhost:{wall} answered 407: it wants a user and a password, or others than these")),
        (by(shut), Hurdle::Proxy, format!("the proxy: nobody listens at localhost:{shut}")),
        (stranger, Hurdle::Trust, format!("the certificate of localhost:{port} is not from an authority in `rootCaPath`")),
        (other.clone(), Hurdle::Trust, format!("the certificate of localhost:{} is for another name", other.port)),
        (is_over.clone(), Hurdle::Clock, format!("the certificate of localhost:{} is over by this device's clock, which shows ", is_over.port)),
        (not_yet.clone(), Hurdle::Clock, format!("the certificate of localhost:{} is not valid yet by this device's clock, which shows ", not_yet.port)),
        (refused.clone(), Hurdle::Denied, format!("localhost:{} does not take the certificate of this core", refused.port)),
        (denied.clone(), Hurdle::Denied, format!("localhost:{} does not let this core in: not authorized", denied.port)),
    ];
    for (settings, hurdle, reason) in table {
        let dir = tempfile::tempdir().unwrap();
        let uplink = start(Some(settings), dir.path());
        let outage = down(&uplink).await;
        let trouble = outage.trouble.unwrap();
        assert_eq!((trouble.hurdle, outage.was_up), (hurdle, false), "{}: {}", trouble.reason, trouble.detail);
        assert!(trouble.reason.starts_with(&reason), "{} instead of {reason}", trouble.reason);
        uplink.stop().await;
    }
}

/// CR 9.6: an outage is there while the line is down, with what waits for its end; a core without a control plane has none.
#[tokio::test]
async fn an_outage_begins_and_ends_with_the_line() {
    let site = Site::start().await;
    let dir = tempfile::tempdir().unwrap();
    let uplink = start(None, dir.path());
    assert_eq!((uplink.is_configured(), uplink.outage()), (false, None));
    uplink.set_trouble("the certificate is not there".to_owned());
    let trouble = down(&uplink).await.trouble.unwrap();
    assert_eq!((trouble.hurdle, trouble.reason.as_str()), (Hurdle::Settings, "the certificate is not there"));
    let (switch, up) = watch::channel(false);
    let port = network(site.address, up).await;
    uplink.reconfigure(Some(site.settings(port))).await;
    uplink.publish("c", message("t", 7)).await.unwrap();
    let outage = down(&uplink).await;
    assert!(uplink.is_configured() && !outage.was_up);
    assert_eq!(outage.waiting_messages, 1);
    let mut connection = uplink.connection();
    switch.send_replace(true);
    timeout(DEADLINE, connection.wait_for(|up| *up)).await.unwrap().unwrap();
    assert_eq!(uplink.outage(), None);
    switch.send_replace(false);
    let outage = down(&uplink).await;
    assert!(outage.was_up && !*uplink.connection().borrow());
    uplink.reconfigure(None).await;
    assert_eq!((uplink.is_configured(), uplink.outage()), (false, None));
}
