//! The protocols against the bytes of a foreign client: requests as botocore writes them, answers as botocore reads them.
//!
//! `requests.json` is made by `conformance/wire/make_requests.py`; `responses.json` is read back by botocore's parsers in
//! `conformance/wire/test_responses.py`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::{ApiError, Kind, Request, ServiceId, Shape, decode, encode, op, route};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Sent {
    scope: String,
    operation: String,
    method: String,
    path: String,
    query: String,
    headers: Map<String, Value>,
    body: String,
    input: Value,
}

/// CP 1.2, 1.7, 1.8: what boto3 sends arrives as what its caller said.
#[test]
fn botocore_requests_decode_to_their_parameters() {
    let rows: Vec<Sent> = serde_json::from_str(include_str!("fixtures/requests.json")).unwrap();
    for row in rows {
        let headers: Vec<(&str, &str)> =
            row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let body = STANDARD.decode(&row.body).unwrap();
        let request =
            Request { method: &row.method, path: &row.path, query: &row.query, headers: &headers, body: &body };
        let matched = route::route(&request, &row.scope).unwrap_or_else(|e| panic!("{}: {e:?}", row.operation));
        assert_eq!(matched.operation.name, row.operation);
        let input = decode::decode(&matched, &request).unwrap_or_else(|e| panic!("{}: {e}", row.operation));
        assert_eq!(input, row.input, "{}", row.operation);
    }
}

#[derive(Deserialize)]
struct Answer {
    service: String,
    operation: String,
    output: Option<Value>,
    error: Option<Failure>,
    status: u16,
    headers: Map<String, Value>,
    body: String,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    status: u16,
    message: String,
    #[serde(default)]
    members: Map<String, Value>,
}

/// CP 1.2 to 1.5: answers and errors are written byte for byte as the client's parser was shown them.
#[test]
fn answers_are_the_bytes_botocore_reads() {
    let rows: Vec<Answer> = serde_json::from_str(include_str!("fixtures/responses.json")).unwrap();
    for row in rows {
        let operation = op(&row.service, &row.operation).unwrap();
        let response = match row.error {
            Some(failure) => {
                let mut error = ApiError::new(failure.code, failure.status, failure.message);
                error.members = failure.members;
                encode::error(operation.service, &error, "r-1")
            }
            None => encode::output(operation, &row.output.unwrap(), "r-1"),
        };
        let name = format!("{} {}", row.service, row.operation);
        assert_eq!(String::from_utf8_lossy(&response.body), row.body, "{name}");
        assert_eq!(response.status, row.status, "{name}");
        assert_eq!(response.header("x-amzn-requestid"), Some("r-1"), "{name}");
        assert_eq!(response.content_type, row.headers.get("content-type").and_then(Value::as_str), "{name}");
        assert_eq!(
            response.header("x-amzn-errortype"),
            row.headers.get("x-amzn-errortype").and_then(Value::as_str),
            "{name}"
        );
    }
}

/// Sends `body` to an operation without labels and gives the error's code, status and message.
fn refusal(service: &str, operation: &str, body: &str) -> (String, u16, String) {
    let operation = op(service, operation).unwrap();
    let target = format!("{}.{}", operation.service.table().target_prefix, operation.name);
    let form = operation.service.protocol() == marram_aws_api::Protocol::Query;
    let media_type = if form { "application/x-www-form-urlencoded" } else { "application/json" };
    let headers = [("content-type", media_type), ("x-amz-target", target.as_str())];
    let headers = if operation.path == "/" { &headers[..] } else { &headers[..1] };
    let (path, query) = operation.path.split_once('?').unwrap_or((operation.path, ""));
    let path = path.replace(['{', '}'], "");
    let request = Request { method: operation.method, path: &path, query, headers, body: body.as_bytes() };
    let scope = operation.service.table().signing_names[0];
    let matched = route::route(&request, scope).unwrap();
    let error = decode::decode(&matched, &request).expect_err(body);
    (error.code.to_string(), error.status, error.message)
}

/// CP 1.2, TG 9.1: a violation is the service's own error and names the member.
#[test]
fn constraint_violations_name_the_member() {
    let long = "x".repeat(129);
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let long_thing = format!(r#"{{"thingName":"{long}"}}"#);
    let wide = r#"{"entityTypes":["DEVICE"],"filters":[{"name":"NAME","value":["a"]},{"name":"SIZE"}]}"#;
    let rows: &[(&str, &str, &str, &str, u16, &str)] = &[
        (
            "iotthingsgraph",
            "DescribeNamespace",
            r#"{"namespaceName":5}"#,
            "InvalidRequestException",
            400,
            "Value at 'namespaceName' failed to satisfy constraint: Member must be a string",
        ),
        (
            "iotthingsgraph",
            "GetFlowTemplate",
            "{}",
            "InvalidRequestException",
            400,
            "Value at 'id' failed to satisfy constraint: Member must not be null",
        ),
        ("iotthingsgraph", "GetFlowTemplate", r#"{"id":null}"#, "InvalidRequestException", 400, "'id'"),
        ("iotthingsgraph", "SearchThings", &long_thing, "InvalidRequestException", 400, "'entityId'"),
        (
            "iotthingsgraph",
            "SearchEntities",
            wide,
            "InvalidRequestException",
            400,
            "'filters.2.member.name' failed to satisfy constraint: Member must satisfy enum value set: [",
        ),
        (
            "iotthingsgraph",
            "SearchEntities",
            r#"{"entityTypes":["DEVICE"],"maxResults":251}"#,
            "InvalidRequestException",
            400,
            "'maxResults' failed to satisfy constraint: Member must have value less than or equal to 250",
        ),
        (
            "iotthingsgraph",
            "SearchEntities",
            r#"{"entityTypes":["DEVICE"],"maxResults":"5"}"#,
            "InvalidRequestException",
            400,
            "'maxResults' failed to satisfy constraint: Member must be an integer",
        ),
        (
            "iotthingsgraph",
            "SearchEntities",
            r#"{"entityTypes":["DEVICE"],"maxResults":5.5}"#,
            "InvalidRequestException",
            400,
            "must be an integer",
        ),
        ("iotthingsgraph", "GetFlowTemplate", "{", "InvalidRequestException", 400, "not valid JSON"),
        ("iotthingsgraph", "GetFlowTemplate", "[]", "InvalidRequestException", 400, "must be an object"),
        ("iotthingsgraph", "GetFlowTemplate", &deep, "InvalidRequestException", 400, "deeper than 64"),
        ("iot", "AttachPolicy", r#"{"target":7}"#, "InvalidRequestException", 400, "'target'"),
        (
            "iot",
            "TagResource",
            r#"{"resourceArn":"a","tags":[{"Key":""}]}"#,
            "InvalidRequestException",
            400,
            "'tags.1.member.Key' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "iot",
            "CreateThing",
            r#"{"billingGroupName":"a b"}"#,
            "InvalidRequestException",
            400,
            "'billingGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: ",
        ),
        ("iam", "CreateUser", "Action=CreateUser&Version=2010-05-08", "ValidationError", 400, "'UserName'"),
        (
            "iam",
            "TagUser",
            "Action=TagUser&Version=2010-05-08&UserName=u&Tags.member.1.Value=x",
            "ValidationError",
            400,
            "'Tags.1.member.Key'",
        ),
        (
            "sts",
            "AssumeRole",
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::1:role/r&RoleSessionName=ok&DurationSeconds=x",
            "ValidationError",
            400,
            "'DurationSeconds' failed to satisfy constraint: Member must be an integer",
        ),
        ("cloudtrail", "LookupEvents", r#"{"MaxResults":0}"#, "ValidationException", 400, "'MaxResults'"),
        ("iot", "CreateStream", "{}", "InvalidRequestException", 400, "CreateStream is not supported by this endpoint"),
        (
            "iam",
            "CreateSAMLProvider",
            "Action=CreateSAMLProvider&Version=2010-05-08",
            "InvalidAction",
            400,
            "CreateSAMLProvider is not supported by this endpoint",
        ),
        ("secretsmanager", "RotateSecret", "{}", "InvalidParameterException", 400, "not supported"),
        ("greengrass", "ListGroups", "", "BadRequestException", 400, "not supported"),
    ];
    for (service, operation, body, code, status, message) in rows {
        let got = refusal(service, operation, body);
        assert_eq!((got.0.as_str(), got.1), (*code, *status), "{operation} {body}");
        assert!(got.2.contains(message), "{operation} {body}: {}", got.2);
    }
}

/// CP 10.4: a body beyond the operation's limit is refused before it is parsed.
#[test]
fn oversized_bodies_are_refused() {
    let body = format!(r#"{{"id":"{}"}}"#, "x".repeat(1 << 20));
    let (code, status, message) = refusal("iotthingsgraph", "GetFlowTemplate", &body);
    assert_eq!((code.as_str(), status), ("InvalidRequestException", 400));
    assert_eq!(message, "the body is larger than 1048576 bytes");
}

/// CP 1.1, 11: the tables hold every operation of the models, sorted, and each pattern can be matched.
#[test]
fn tables_are_complete_and_usable() {
    let counts = [
        (ServiceId::ThingsGraph, 35, 35),
        (ServiceId::Iot, 272, 114),
        (ServiceId::IotData, 11, 11),
        (ServiceId::IotJobsData, 5, 5),
        (ServiceId::Iam, 180, 78),
        (ServiceId::Sts, 11, 7),
        (ServiceId::CloudTrail, 60, 1),
        (ServiceId::GreengrassV2, 29, 29),
        (ServiceId::Greengrass, 92, 0),
        (ServiceId::S3, 25, 0),
        (ServiceId::Logs, 118, 11),
        (ServiceId::CloudWatch, 59, 4),
        (ServiceId::SecretsManager, 26, 12),
    ];
    for (service, known, shaped) in counts {
        let operations = service.table().operations;
        assert!(operations.is_sorted_by_key(|operation| operation.name), "{service}");
        let with_shapes = operations.iter().filter(|operation| operation.has_shapes).count();
        assert_eq!((operations.len(), with_shapes), (known, shaped), "{service}");
        for operation in operations {
            assert_eq!(service.operation(operation.name), Some(operation));
            for shape in operation.input.iter().chain(&operation.output) {
                check_patterns(shape, 0);
            }
        }
    }
}

fn check_patterns(shape: &'static Shape, depth: usize) {
    assert!(depth < 32, "{} is recursive", shape.name);
    match &shape.kind {
        Kind::Structure { members } => members.iter().for_each(|member| check_patterns(member.shape, depth + 1)),
        Kind::List { member, .. } => check_patterns(member, depth + 1),
        Kind::Map { key, value, .. } => {
            check_patterns(key, depth + 1);
            check_patterns(value, depth + 1);
        }
        Kind::String { pattern: Some(pattern), .. } => assert!(pattern.is_valid(), "{}", shape.name),
        _ => {}
    }
}
