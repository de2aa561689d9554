//! `json_body`: a body for an operation (`service Operation` on the first line) through decoding, constraints and encoding.

use marram_aws_api::redact::redact;
use marram_aws_api::route::Matched;
use marram_aws_api::{Location, Protocol, Request, constraint, decode, encode, op};

/// Whatever decodes satisfies its constraints; it can be redacted and written as an answer. Nothing may panic.
pub fn run(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let name = String::from_utf8_lossy(&data[..cut]);
    let body = data.get(cut + 1..).unwrap_or_default();
    let (service, name) = name.split_once(' ').unwrap_or(("iotthingsgraph", "SearchEntities"));
    let Some(operation) = op(service, name) else { return };
    let Some(input) = operation.input else { return };
    let labels = input.members().iter().filter(|member| member.location == Location::Uri);
    let matched = Matched { operation, labels: labels.map(|member| (member.wire, "label".to_owned())).collect() };
    let media_type = match operation.service.protocol() {
        Protocol::Query => "application/x-www-form-urlencoded",
        _ => "application/json",
    };
    let headers = [("content-type", media_type), ("x-amzn-principal", "principal")];
    let request = Request { method: operation.method, path: "/", query: "", headers: &headers, body };
    match decode::decode(&matched, &request) {
        Ok(value) => {
            assert!(constraint::check(input, &value).is_empty());
            let _ = redact(input, &value);
            let answer = encode::output(operation, &value, "request");
            assert!(answer.header("x-amzn-requestid").is_some());
        }
        Err(error) => {
            assert_eq!(error.fault, marram_aws_api::Fault::Client);
            let answer = encode::error(operation.service, &error, "request");
            assert!((400..500).contains(&answer.status));
        }
    }
}
