//! `route`: a request as text (scope, `METHOD target`, `name: value` lines, blank line, body) through the router.

use marram_aws_api::route::{guess, route};
use marram_aws_api::{Request, decode};

/// A routed operation signs with the scope's name and takes the request's method; labels are never empty. Nothing may panic.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let scope = lines.next().unwrap_or_default();
    let (method, target) = lines.next().unwrap_or_default().split_once(' ').unwrap_or(("GET", "/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let request = Request { method, path, query, headers: &headers, body: body.as_bytes() };
    let _ = guess(&request);
    match route(&request, scope) {
        Ok(matched) => {
            let operation = matched.operation;
            assert!(operation.service.table().signing_names.contains(&scope));
            assert!(operation.method == method || operation.path == "/");
            assert!(matched.labels.iter().all(|(_, label)| !label.is_empty()));
            let _ = decode::decode(&matched, &request);
        }
        Err(refusal) => assert!((400..500).contains(&refusal.error.status)),
    }
}
