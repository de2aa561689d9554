//! Files, headers, and who gets a path: the console or the services that want signatures.

use std::collections::HashMap;

use serde_json::Value;

use crate::support::{Bench, Headers, Pages};

fn pages() -> Pages {
    Pages(HashMap::from([
        ("index.html", &b"<html>the console</html>"[..]),
        ("index.html.gz", b"packed page"),
        ("assets/app-1.js", b"plain script"),
        ("assets/app-1.js.gz", b"gzip script"),
        ("assets/app-1.js.br", b"brotli script"),
        ("assets/logo-1.svg", b"<svg/>"),
    ]))
}

/// SEC-97: every answer of the console, page, file, error or document, carries the whole set of headers.
#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let bench = Bench::with_pages(pages()).await;
    let rows = [
        ("GET", "/", 302),
        ("GET", "/console", 302),
        ("GET", "/console/", 200),
        ("GET", "/console/things/a.lamp", 200),
        ("GET", "/console/assets/app-1.js", 200),
        ("GET", "/console/assets/gone.js", 404),
        ("POST", "/console/", 405),
        ("GET", "/console/api/session", 200),
        ("GET", "/console/api/nothing", 405),
        ("POST", "/console/api/call", 415),
        ("GET", "/console/api/live/mqtt?filter=%23", 401),
    ];
    for (method, path, status) in rows {
        let answer = bench.send(method, path, &[], "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let policy: HashMap<&str, &str> =
            header("content-security-policy").split(';').filter_map(|rule| rule.trim().split_once(' ')).collect();
        for (rule, value) in [
            ("default-src", "'none'"),
            ("script-src", "'self'"),
            ("style-src", "'self'"),
            ("connect-src", "'self'"),
            ("frame-ancestors", "'none'"),
            ("base-uri", "'none'"),
            ("require-trusted-types-for", "'script'"),
        ] {
            assert_eq!(policy.get(rule), Some(&value), "{method} {path} {rule}");
        }
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(name), value, "{method} {path}");
        }
        assert!(header("strict-transport-security").starts_with("max-age="), "{method} {path}");
        assert_eq!(header("access-control-allow-origin"), "", "nobody else is let in: {method} {path}");
    }
}

/// Files with a hash in their name are kept for good and sent packed; the page is asked for anew; addresses of the application
/// are the page.
#[tokio::test]
async fn files_are_cached_and_packed() {
    let bench = Bench::with_pages(pages()).await;
    for (path, accept, body, encoding, cache) in [
        ("assets/app-1.js", "gzip, deflate, br", "brotli script", "br", "immutable"),
        ("assets/app-1.js", "br;q=0, gzip;q=0.5", "gzip script", "gzip", "immutable"),
        ("assets/app-1.js", "identity", "plain script", "", "immutable"),
        ("assets/logo-1.svg", "br", "<svg/>", "", "immutable"),
        ("", "gzip", "packed page", "gzip", "no-cache"),
        ("index.html", "", "<html>the console</html>", "", "no-cache"),
        ("flows/urn:tdm:x:Workflow:F", "", "<html>the console</html>", "", "no-cache"),
    ] {
        let answer = bench.send("GET", &format!("/console/{path}"), &[("accept-encoding", accept)], "").await;
        let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(String::from_utf8_lossy(&answer.body), body, "{path} {accept}");
        assert_eq!(header("content-encoding"), encoding, "{path} {accept}");
        assert!(header("cache-control").contains(cache), "{path}");
        assert_eq!(header("vary"), "accept-encoding");
        let tag = header("etag");
        let again = [("accept-encoding", accept), ("if-none-match", tag.as_str())];
        let again = bench.send("GET", &format!("/console/{path}"), &again, "").await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
    }
    let head = bench.send("HEAD", "/console/", &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

/// A binary without pages says so, and the API behind the pages works all the same.
#[tokio::test]
async fn without_pages_the_console_says_so() {
    let bench = Bench::start().await;
    let answer = bench.send("GET", "/console/", &[], "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "the console was not built");
    let session: Value =
        serde_json::from_slice(&bench.send("GET", "/console/api/session", &[], "").await.body).unwrap();
    assert_eq!(session["state"], "signed-out");
}

/// CP 1.8: what bears a signature is not the console's, whatever its path; neither is an API call to `/`.
#[tokio::test]
async fn signed_requests_pass_the_console_by() {
    let bench = Bench::with_pages(pages()).await;
    let signature = "AWS4-HMAC-SHA256 Credential=AKIDNOBODY0000000000/20260101/us-east-1/iot/aws4_request, \
                     SignedHeaders=host, Signature=00";
    let rows: [(&str, &str, Headers<'_>); 4] = [
        ("GET", "/console/key", &[("authorization", signature)]),
        ("GET", "/", &[("authorization", signature)]),
        ("POST", "/", &[("content-type", "application/x-amz-json-1.1")]),
        ("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", &[]),
    ];
    for (method, path, headers) in rows {
        let answer = bench.send(method, path, headers, "").await;
        assert!(!answer.headers.contains_key("x-frame-options"), "{method} {path}: no answer of the console");
        assert!(answer.status.is_client_error(), "{method} {path}: {}", answer.status);
    }
}
