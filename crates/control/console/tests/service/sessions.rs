//! Getting in, staying in, getting out; and everybody who must not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Bench, Headers, PASSWORD, nothing, token_of};

const REFUSED: (u16, &str) = (403, "AccessDeniedException");

/// SEC-64, SEC-65: the first link enrols the administrator once; then a password and a code sign in; both ways are recorded.
#[tokio::test]
async fn first_run_and_sign_in() {
    let bench = Bench::start().await;
    let token = bench.first_token().await;
    let mut browser = bench.browser().await;
    assert_eq!(browser.session().await["firstRun"], true);
    let enrolling = browser.post("sign-in/link", json!({"token": token})).await;
    assert_eq!((enrolling.status, &enrolling.document["user"]), (200, &json!("administrator")));
    let uri = enrolling.document["uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/Marram:administrator%40000000000000?secret="), "{uri}");
    assert_eq!(browser.session().await["state"], "enrolling", "a reload goes on where it was");
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 401, "enrolling is not signed in");

    let mut thief = bench.browser().await;
    assert_eq!(thief.post("sign-in/link", json!({"token": token})).await.error(), REFUSED, "a link works once");

    let secret = enrolling.document["secret"].as_str().unwrap().to_owned();
    let short = browser.post("enrol", json!({"password": "thirteen char", "code": "000000"})).await;
    assert_eq!(short.error(), (400, "ValidationException"));
    assert_eq!(short.document["error"]["field"], "password");
    let wrong = browser.post("enrol", json!({"password": PASSWORD, "code": "000000"})).await;
    assert_eq!((wrong.error(), &wrong.document["error"]["field"]), (REFUSED, &json!("code")));
    bench.flush(); // a refusal reaches the log a little after its answer
    let (mut browser, secret) = {
        drop((browser, secret));
        bench.person(&bench.account, "administrator").await
    };
    let session = browser.session().await;
    assert_eq!(session["arn"], "arn:aws:iam::000000000000:user/administrator");
    assert_eq!(session["accountName"], "first");
    assert_eq!(session["endpoints"], json!({"api": "api:1", "mqtt": "mqtt:2", "device": "device:3"}));
    assert!(bench.console.first_link().await.unwrap().is_none(), "somebody is in");

    assert_eq!(browser.post("sign-out", json!({})).await.document["firstRun"], false);
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 401);
    let code = bench.next_code(&secret);
    let credentials = json!({"user": "Administrator", "password": PASSWORD, "code": code});
    assert_eq!(browser.post("sign-in/password", credentials.clone()).await.document["state"], "signed-in");
    let replayed = bench.browser().await.post("sign-in/password", credentials).await;
    assert_eq!(replayed.error(), REFUSED, "a code works once");

    let outcome = |event: &str| -> Vec<Value> {
        bench.records(&bench.account, event).iter().map(|record| record["responseElements"][event].clone()).collect()
    };
    assert_eq!(outcome("ConsoleLogin"), ["Failure", "Success"]);
    assert_eq!(outcome("ConsoleEnrolment"), ["Success", "Failure"]);
    assert_eq!(outcome("ConsoleLinkLogin"), ["Success", "Failure", "Success"]);
    let record = &bench.records(&bench.account, "ConsoleLogin")[1];
    assert_eq!(record["eventType"], "AwsConsoleSignIn");
    assert_eq!(record["userIdentity"]["userName"], "administrator");
    assert_eq!(record["sourceIPAddress"], "127.0.0.1");
    for text in [&bench.rows(), &format!("{record:?}")] {
        assert!(!text.contains(PASSWORD) && !text.contains(&token), "secrets are kept nowhere");
    }
}

/// SEC-65: a link is dead after 15 minutes, when another one was made, and when its user was made anew.
#[tokio::test]
async fn links_die() {
    let bench = Bench::start().await;
    let old = bench.first_token().await;
    let late = bench.first_token().await;
    assert_eq!(bench.browser().await.post("sign-in/link", json!({"token": old})).await.error(), REFUSED);
    bench.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(bench.browser().await.post("sign-in/link", json!({"token": late})).await.error(), REFUSED);
    bench.user("anna", nothing()).await;
    let stale = token_of(bench.console.link_for(&bench.account, "anna").await.unwrap().unwrap());
    bench.iam("DeleteUserPolicy", json!({"UserName": "anna", "PolicyName": "only"})).await;
    bench.iam("DeleteUser", json!({"UserName": "anna"})).await;
    bench.iam("CreateUser", json!({"UserName": "anna"})).await;
    assert_eq!(bench.browser().await.post("sign-in/link", json!({"token": stale})).await.error(), REFUSED);
    for token in ["", "x", &"A".repeat(43), &"A".repeat(511)] {
        assert_eq!(bench.browser().await.post("sign-in/link", json!({"token": token})).await.error(), REFUSED);
    }
    assert!(bench.console.link_for(&bench.account, "nobody").await.unwrap().is_none());
}

/// SEC-97 (fixation): the cookie before signing in, the one while enrolling and the one before proving again open nothing later.
#[tokio::test]
async fn tokens_change_whenever_rights_do() {
    let bench = Bench::start().await;
    let token = bench.first_token().await;
    let mut browser = bench.browser().await;
    let mut seen = vec![(browser.cookie.clone(), browser.csrf.clone())];
    let enrolling = browser.post("sign-in/link", json!({"token": token})).await;
    seen.push((browser.cookie.clone(), browser.csrf.clone()));
    assert_eq!(enrolling.document["state"], "enrolling");
    drop(browser);
    let (mut browser, secret) = bench.person(&bench.account, "administrator").await;
    seen.push((browser.cookie.clone(), browser.csrf.clone()));
    let again = json!({"password": PASSWORD, "code": bench.next_code(&secret)});
    assert_eq!(browser.post("reauthenticate", again).await.status, 200);
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 200);
    seen.push((browser.cookie.clone(), browser.csrf.clone()));
    let anew = json!({"user": "administrator", "password": PASSWORD, "code": bench.next_code(&secret)});
    assert_eq!(browser.post("sign-in/password", anew).await.status, 200);
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 200);
    assert!(seen.iter().all(|(cookie, csrf)| *cookie != browser.cookie && *csrf != browser.csrf));
    for (cookie, csrf) in seen {
        let mut old = bench.browser().await;
        (old.cookie, old.csrf) = (cookie, csrf);
        let answer = old.call("sts", "GetCallerIdentity", json!({})).await;
        assert_eq!(answer.error(), (401, "UnauthenticatedException"));
    }
    let cookie = bench.send("GET", "/console/api/session", &[], "").await.headers["set-cookie"].clone();
    let attributes = cookie.to_str().unwrap().split_once("; ").unwrap().1.to_owned();
    assert!(cookie.to_str().unwrap().starts_with("__Host-marram="));
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict");
}

/// SEC-97 (CSRF): without the token of the very cookie, from another origin, as another content type, nothing happens.
#[tokio::test]
async fn requests_of_other_pages_are_refused() {
    let bench = Bench::start().await;
    let (browser, _) = bench.person(&bench.account, "administrator").await;
    let stranger = bench.browser().await;
    let own = format!("https://{}", bench.address);
    let body = || json!({"service": "iam", "operation": "CreateUser", "input": {"UserName": "mallory"}});
    let csrf = (403, "InvalidCsrfTokenException");
    let rows: [(Headers<'_>, (u16, &str)); 12] = [
        (&[("x-marram-csrf", "")], csrf),
        (&[("x-marram-csrf", "AAAA")], csrf),
        (&[("x-marram-csrf", &stranger.csrf)], csrf),
        (&[("cookie", "")], csrf),
        (&[("origin", "https://evil.example")], REFUSED),
        (&[("origin", "null")], REFUSED),
        (&[("origin", &own.replace("https", "http"))], REFUSED),
        (&[("origin", &own), ("sec-fetch-site", "cross-site")], REFUSED),
        (&[("sec-fetch-site", "same-site")], REFUSED),
        (&[("content-type", "text/plain")], (415, "UnsupportedMediaTypeException")),
        (&[("content-type", "application/x-www-form-urlencoded")], (415, "UnsupportedMediaTypeException")),
        (&[("content-type", "")], (415, "UnsupportedMediaTypeException")),
    ];
    for (headers, expected) in rows {
        assert_eq!(browser.post_with("call", body(), headers).await.error(), expected, "{headers:?}");
    }
    assert!(bench.records(&bench.account, "CreateUser").is_empty(), "nothing was even tried");
    let cookie = browser.cookie.clone().unwrap();
    let foreign = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(bench.send("GET", "/console/api/session", &foreign, "").await.status, 403);
    assert_eq!(browser.post_with("call", body(), &[]).await.status, 200, "the same request, unhindered");
}

/// MA-IAM-14: 30 minutes without a request or 12 hours with them end a session, a restart does not; a user who is gone takes the
/// sessions along.
#[tokio::test]
async fn sessions_end() {
    let bench = Bench::start().await;
    let (mut browser, secret) = bench.person(&bench.account, "administrator").await;
    bench.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 200);
    bench.clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 401);
    assert_eq!(browser.session().await["state"], "signed-out");

    let sign_in = json!({"user": "administrator", "password": PASSWORD, "code": bench.next_code(&secret)});
    assert_eq!(browser.post("sign-in/password", sign_in).await.status, 200);
    let begun = browser.cookie.clone();
    let mut minutes = 0;
    while browser.call("sts", "GetCallerIdentity", json!({})).await.status == 200 {
        bench.clock.advance(Duration::from_secs(20 * 60));
        minutes += 20;
    }
    assert_eq!((minutes, &browser.cookie), (12 * 60, &begun));

    let sign_in = json!({"user": "administrator", "password": PASSWORD, "code": bench.next_code(&secret)});
    assert_eq!(browser.post("sign-in/password", sign_in).await.status, 200);
    let (cookie, csrf) = (browser.cookie.clone(), browser.csrf.clone());
    let bench = bench.restart().await;
    let mut browser = bench.browser().await;
    (browser.cookie, browser.csrf) = (cookie, csrf);
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 200, "a restart signs nobody out");

    let anything = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}});
    bench.user("anna", anything).await;
    let (mut anna, _) = bench.person(&bench.account, "anna").await;
    assert_eq!(anna.call("sts", "GetCallerIdentity", json!({})).await.status, 200);
    bench.iam("DeleteUserPolicy", json!({"UserName": "anna", "PolicyName": "only"})).await;
    bench.iam("DeleteUser", json!({"UserName": "anna"})).await;
    assert_eq!(anna.call("sts", "GetCallerIdentity", json!({})).await.status, 401);
    bench.iam("CreateUser", json!({"UserName": "anna"})).await;
    assert_eq!(anna.call("sts", "GetCallerIdentity", json!({})).await.status, 401, "another Anna");
}

/// SEC-64, MA-IAM-14: whatever is wrong, the answer is the same; guesses are slowed down for the user and forgotten after success.
#[tokio::test]
async fn guesses_are_answered_alike_and_slowed_down() {
    let bench = Bench::start().await;
    let (_, secret) = bench.person(&bench.account, "administrator").await;
    let mut browser = bench.browser().await;
    let mut texts = Vec::new();
    let good = bench.next_code(&secret);
    for (account, user, password, code) in [
        ("000000000000", "administrator", "not the password..", good.as_str()),
        ("000000000000", "administrator", PASSWORD, "000000"),
        ("000000000000", "nobody", PASSWORD, &good),
        ("999999999999", "administrator", PASSWORD, &good),
        ("no account", "administrator", PASSWORD, &good),
        (bench.other.as_str(), "administrator", PASSWORD, &good),
    ] {
        let guess = json!({"account": account, "user": user, "password": password, "code": code});
        let answer = browser.post("sign-in/password", guess).await;
        assert_eq!(answer.error(), REFUSED, "{account} {user}");
        texts.push(answer.document.to_string());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
    let hidden = &bench.records(&bench.account, "ConsoleLogin")[0]["userIdentity"]["userName"];
    assert_eq!(hidden, "HIDDEN_DUE_TO_SECURITY_REASONS", "people type passwords into the wrong field");

    let right = |code: String| json!({"user": "administrator", "password": PASSWORD, "code": code});
    let wrong = || json!({"user": "administrator", "password": "wrong wrong wrong", "code": "000000"});
    let mut throttled = None;
    for _ in 0..4 {
        let answer = browser.post("sign-in/password", wrong()).await;
        if answer.error() == (429, "ThrottlingException") {
            throttled = Some(answer.headers["retry-after"].clone());
            break;
        }
    }
    assert_eq!(throttled.unwrap(), "1");
    let early = browser.post("sign-in/password", right(bench.code(&secret))).await;
    assert_eq!(early.error(), (429, "ThrottlingException"), "not even the right password now");
    let answer = browser.post("sign-in/password", right(bench.next_code(&secret))).await;
    assert_eq!(answer.status, 200, "{}", answer.document);
    let mut other = bench.browser().await;
    assert_eq!(other.post("sign-in/password", wrong()).await.error(), REFUSED, "the count began anew");
}

/// SEC 12.2: bodies of strangers are small, bodies are objects, members are texts.
#[tokio::test]
async fn bodies_are_bounded() {
    let bench = Bench::start().await;
    let browser = bench.browser().await;
    let large = json!({"token": "x".repeat(20_000)});
    let answer = browser.post_with("sign-in/link", large, &[]).await;
    assert_eq!(answer.error(), (413, "RequestEntityTooLargeException"));
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    for body in [json!([]), json!("x"), json!({"token": 1}), json!({"token": deep})] {
        let answer = browser.post_with("sign-in/link", body, &[]).await;
        assert_eq!(answer.error(), (400, "ValidationException"));
    }
    let headers = [("cookie", browser.cookie.as_deref().unwrap()), ("content-type", "application/json")];
    let headers = [headers[0], headers[1], ("x-marram-csrf", browser.csrf.as_str())];
    let answer = bench.send("POST", "/console/api/sign-in/link", &headers, "{\"token\":").await;
    assert_eq!(answer.status, 400);
}
