//! One request through the door: page, signature, route, input, service, answer.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use marram_audit::AuditUnavailable;
use marram_aws_api::model::DEFAULT_BODY_LIMIT;
use marram_aws_api::redact::redact;
use marram_aws_api::route::{Matched, guess, route, services_signing_as};
use marram_aws_api::{ApiError, Operation, Protocol, Request as ApiRequest, ServiceId, decode, encode};
use marram_http::{Head, Refusal, RequestBody, Response, ResponseBody, StreamResponse};
use marram_identity::{BoxFuture, CallFacts, Principal, Service, TlsDetails};
use marram_sigv4::{AuthFailure, ErrorStyle, Expectation, Presented, Request as SignedRequest};
use marram_types::{Region, RequestId, SharedClock, Timestamp};
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::browser;
use crate::fair::{DEFAULT_PRINCIPAL_RATE, Fairness};
use crate::gate::{Admission, Gate, Refused};
use crate::metric::{FrontMetrics, Outcome};
use crate::page::{Health, Page, Pages};
use crate::quota::Quotas;

/// Longest `User-Agent` that is kept, in bytes.
const MAX_USER_AGENT_BYTES: usize = 1024;

/// Regions that clients of the global services sign, whatever their profile says (control-plane-api 1.8).
const GLOBAL_REGIONS: [&str; 2] = ["us-east-1", "aws-global"];

/// What a door is made of besides gate and services.
pub struct FrontOptions {
    /// Regions served; the first is where calls of the global services happen.
    pub regions: Vec<Region>,
    /// The clock that signatures are checked against.
    pub clock: SharedClock,
    /// Call rates.
    pub quotas: Quotas,
    /// Calls per second and principal, reads counted once and changes twice; protective, whatever the quotas.
    pub principal_rate: u32,
    /// Unsigned pages.
    pub pages: Arc<dyn Pages>,
    /// Counters.
    pub metrics: FrontMetrics,
    /// Take the requests whose bodies are streams; the first that claims one gets it.
    pub streams: Vec<Arc<dyn StreamService>>,
}

impl FrontOptions {
    /// One region, no quotas, `/healthz` alone.
    pub fn new(region: Region, clock: SharedClock) -> FrontOptions {
        FrontOptions {
            regions: vec![region],
            clock,
            quotas: Quotas::off(),
            principal_rate: DEFAULT_PRINCIPAL_RATE,
            pages: Arc::new(Health),
            metrics: FrontMetrics::default(),
            streams: Vec::new(),
        }
    }
}

/// The front door of the control plane. Shared by all connections.
pub struct FrontDoor {
    gate: Arc<dyn Gate>,
    services: HashMap<ServiceId, Vec<Arc<dyn Service>>>,
    fairness: Fairness,
    options: FrontOptions,
}

impl fmt::Debug for FrontDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDoor").field("services", &self.services.keys()).finish_non_exhaustive()
    }
}

/// A service that reads and writes bodies piece by piece, and therefore checks signatures and begins calls by itself.
pub trait StreamService: Send + Sync {
    /// Whether a request is for it. Nothing of the head is proven yet.
    fn claims(&self, head: &Head) -> bool;

    /// Whose calls its answers count as; `None`: nobody's, its calls are counted where they are made.
    fn counts_as(&self) -> Option<ServiceId> {
        Some(ServiceId::S3)
    }

    /// Whether its answers are pages of ours, which a browser may run.
    fn serves_pages(&self) -> bool {
        false
    }

    /// Answers one request; the second value tells whether its caller proved who it is.
    fn answer<'a>(&'a self, head: &'a Head, body: RequestBody, peer: &'a Peer)
    -> BoxFuture<'a, (StreamResponse, bool)>;
}

/// What is known of the connection a request came on.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// `TLSv1.3`.
    pub tls_version: &'static str,
    /// IANA name of the suite.
    pub cipher_suite: &'static str,
}

/// A caller who proved who it is, with the facts of its call.
#[derive(Debug, Clone)]
pub struct Caller<'a> {
    /// Who calls.
    pub principal: Arc<Principal>,
    /// Where the call happens.
    pub region: Region,
    /// Noted in the audit record.
    pub request_id: RequestId,
    /// The moment of the call.
    pub now: Timestamp,
    /// The connection it came on.
    pub peer: &'a Peer,
    /// As sent, shortened.
    pub user_agent: &'a str,
    /// The `Host` the client asked for.
    pub host: &'a str,
}

/// An answer, and whether its request was authenticated.
pub(crate) struct Answer {
    pub response: Response,
    pub authenticated: bool,
}

/// A request taken apart once, in the words of the crates below.
pub(crate) struct Reading<'a> {
    pub(crate) api: ApiRequest<'a>,
    signed: SignedRequest<'a>,
    host: &'a str,
    user_agent: &'a str,
}

impl<'a> Reading<'a> {
    pub(crate) fn of(
        head: &'a Head,
        texts: &'a [(&'a str, &'a str)],
        signed: SignedRequest<'a>,
        body: &'a [u8],
    ) -> Reading<'a> {
        Reading {
            api: ApiRequest {
                method: head.method.as_str(),
                path: head.uri.path(),
                query: head.uri.query().unwrap_or(""),
                headers: texts,
                body,
            },
            signed,
            host: find(texts, "host"),
            user_agent: shorten(find(texts, "user-agent"), MAX_USER_AGENT_BYTES),
        }
    }
}

impl FrontDoor {
    /// A door to `services` behind `gate`.
    ///
    /// # Panics
    /// When `options` names no region.
    pub fn new(gate: Arc<dyn Gate>, services: Vec<Arc<dyn Service>>, options: FrontOptions) -> FrontDoor {
        assert!(!options.regions.is_empty(), "a front door serves at least one region");
        let mut by_id: HashMap<ServiceId, Vec<Arc<dyn Service>>> = HashMap::new();
        for service in services {
            by_id.entry(service.id()).or_default().push(service);
        }
        let fairness = Fairness::new(options.principal_rate);
        FrontDoor { gate, services: by_id, fairness, options }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    /// Where calls happen that name no region.
    pub(crate) fn home_region(&self) -> Region {
        self.options.regions[0].clone()
    }

    /// Largest body worth reading for this head: that of the largest operation of the service it is signed for.
    pub(crate) fn body_limit(&self, head: &Head) -> usize {
        claimed_service(head)
            .into_iter()
            .flat_map(services_signing_as)
            .map(ServiceId::largest_body)
            .max()
            .unwrap_or(DEFAULT_BODY_LIMIT as usize)
    }

    /// The answer to a request that was cut off below.
    pub(crate) fn refuse(&self, head: &Head, refusal: Refusal) -> Response {
        let service = claimed_service(head).and_then(|name| services_signing_as(name).next()).unwrap_or(ServiceId::Iot);
        let error = match refusal {
            Refusal::BodyTooLarge => decode::input_error(service, "the body is too large"),
            Refusal::Deadline => ApiError::new("RequestTimeout", 408, "the request took too long"),
            Refusal::Panic => ApiError::internal(),
        };
        to_http(encode::error(service, &error, &RequestId::fresh().to_string()))
    }

    /// Whether a request is for a service of streams.
    pub(crate) fn streams(&self, head: &Head) -> bool {
        self.streaming(head).is_some()
    }

    fn streaming(&self, head: &Head) -> Option<&Arc<dyn StreamService>> {
        self.options.streams.iter().find(|service| service.claims(head))
    }

    /// Answers a request that [`FrontDoor::streams`] claimed.
    pub(crate) async fn stream(&self, head: &Head, body: RequestBody, peer: &Peer) -> (StreamResponse, bool) {
        let Some(service) = self.streaming(head) else {
            return (self.refuse(head, Refusal::Panic).map(ResponseBody::whole), false);
        };
        let started = Instant::now();
        let is_page = service.serves_pages();
        if browser::installs_worker(head) || (!is_page && browser::would_run(head)) {
            let response = not_to_be_run(service.counts_as().unwrap_or(ServiceId::Iot));
            return (response.map(ResponseBody::whole), false);
        }
        let (mut response, authenticated) = service.answer(head, body, peer).await;
        if !is_page && response.status().is_success() {
            browser::save(head, response.headers_mut());
        }
        if let Some(id) = service.counts_as() {
            let outcome = Outcome::of_status(response.status().as_u16(), authenticated);
            self.options.metrics.count(id, outcome);
            self.options.metrics.took(id, started.elapsed().as_secs_f64());
        }
        (response, authenticated)
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, head: &Head, body: &[u8], peer: &Peer) -> Answer {
        let request_id = RequestId::fresh();
        let now = self.options.clock.now();
        let headers: Vec<(&str, &[u8])> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        // A header that is not UTF-8 takes part in the signature only.
        let texts: Vec<(&str, &str)> =
            headers.iter().filter_map(|(name, value)| Some((*name, std::str::from_utf8(value).ok()?))).collect();
        let signed = SignedRequest {
            method: head.method.as_str(),
            target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
            headers: &headers,
        };
        let reading = Reading::of(head, &texts, signed, body);
        if browser::installs_worker(head) || browser::would_run(head) {
            return Answer { response: not_to_be_run(guess(&reading.api)), authenticated: false };
        }
        match Presented::parse(&reading.signed) {
            Ok(presented) => {
                let mut answer = self.signed(&reading, &presented, request_id, now, peer).await;
                if answer.response.status().is_success() {
                    browser::save(head, answer.response.headers_mut());
                }
                answer
            }
            Err(AuthFailure::Missing) => self.unsigned(head, &reading, request_id),
            Err(failure) => {
                let service = guess(&reading.api);
                Answer::stranger(encode::error(service, &spell(service, &failure), &request_id.to_string()))
            }
        }
    }

    /// A page, or in the words of the service that seems to be meant: no credentials.
    fn unsigned(&self, head: &Head, reading: &Reading<'_>, request_id: RequestId) -> Answer {
        let service = guess(&reading.api);
        let is_page = matches!(head.method, Method::GET | Method::HEAD);
        let names_operation = service != ServiceId::Iot
            || ServiceId::ALL.into_iter().any(|service| {
                service.protocol() == Protocol::RestJson
                    && route(&reading.api, service.table().signing_names[0]).is_ok()
            });
        if is_page && !names_operation {
            let page = self.options.pages.page(reading.api.path);
            let page = page.unwrap_or_else(|| Page::json(404, &json!({"message": "nothing is here"})));
            return Answer { response: page.into_response(&head.method), authenticated: false };
        }
        Answer::stranger(encode::error(service, &spell(service, &AuthFailure::Missing), &request_id.to_string()))
    }

    async fn signed(
        &self,
        reading: &Reading<'_>,
        presented: &Presented,
        request_id: RequestId,
        now: Timestamp,
        peer: &Peer,
    ) -> Answer {
        let scope = presented.scope();
        let routed = route(&reading.api, &scope.service);
        let service = match &routed {
            Ok(matched) => matched.operation.service,
            Err(refusal) => refusal.service,
        };
        // Before the signature, since a refusal leaves a record too; whether there is none the call itself asks.
        let _ = self.room().await;
        let principal = match self.admit(reading, presented, service, peer, now) {
            Ok(principal) => principal,
            Err(failure) => {
                let error = spell(service, &failure);
                self.gate.refused(&Refused {
                    access_key_id: presented.access_key_id(),
                    token: presented.token(),
                    event_source: service.table().event_source,
                    event_name: routed.as_ref().map_or("Unknown", |matched| matched.operation.name),
                    region: &self.options.regions[0],
                    now,
                    request_id,
                    source_ip: peer.source_ip,
                    user_agent: reading.user_agent,
                    error: &error,
                });
                self.options.metrics.count(service, Outcome::Unauthenticated);
                return Answer::stranger(encode::error(service, &error, &request_id.to_string()));
            }
        };
        let response = match routed {
            Err(refusal) => encode::error(refusal.service, &refusal.error, &request_id.to_string()),
            Ok(matched) => {
                let region = self.region_of(&scope.region);
                self.call(reading, &matched, principal, region, request_id, now, peer).await
            }
        };
        Answer { response: to_http(response), authenticated: true }
    }

    /// Checks the signature against the service and region that are served, never against what the request claims.
    fn admit(
        &self,
        reading: &Reading<'_>,
        presented: &Presented,
        service: ServiceId,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthFailure> {
        let mut regions: Vec<&str> = self.options.regions.iter().map(Region::as_str).collect();
        if matches!(service, ServiceId::Iam | ServiceId::Sts) {
            regions.extend(GLOBAL_REGIONS);
        }
        let expect =
            Expectation { regions: &regions, services: service.table().signing_names, unsigned_payload: false };
        self.gate.admit(&Admission {
            presented,
            request: &reading.signed,
            body: reading.api.body,
            expect: &expect,
            source_ip: peer.source_ip,
            now,
        })
    }

    /// Waits until a record finds room; `Err` while nothing can be recorded.
    async fn room(&self) -> Result<(), AuditUnavailable> {
        match self.gate.room_now() {
            Some(answer) => answer,
            None => self.gate.room().await,
        }
    }

    /// The region a call happens in: the signed one when it is served here, else home.
    fn region_of(&self, signed: &str) -> Region {
        let regions = &self.options.regions;
        regions.iter().find(|region| region.as_str() == signed).unwrap_or(&regions[0]).clone()
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of a call, each from another place")]
    pub(crate) async fn call(
        &self,
        reading: &Reading<'_>,
        matched: &Matched,
        principal: Arc<Principal>,
        region: Region,
        request_id: RequestId,
        now: Timestamp,
        peer: &Peer,
    ) -> marram_aws_api::Response {
        let operation = matched.operation;
        let host = reading.host;
        let caller = Caller { principal, region, request_id, now, peer, user_agent: reading.user_agent, host };
        let input = || decode::decode(matched, &reading.api);
        match self.execute(caller, operation, input, false).await {
            Ok(answer) => encode::output(operation, &answer, &request_id.to_string()),
            Err(error) => encode::error(operation.service, &error, &request_id.to_string()),
        }
    }

    /// A call that came with an input keyed by member names and a caller who proved who it is by other means than a
    /// signature: a person's browser. Constraints, rates, authorization, audit record and counters are those of a signed call,
    /// but for reads that pages repeat, which are counted in the record.
    ///
    /// # Errors
    /// What the operation answers.
    pub async fn call_as(
        &self,
        caller: Caller<'_>,
        operation: &'static Operation,
        input: Value,
        input_bytes: usize,
    ) -> Result<Value, ApiError> {
        let input = || decode::check(operation, input, input_bytes);
        self.execute(caller, operation, input, true).await
    }

    async fn execute(
        &self,
        caller: Caller<'_>,
        operation: &'static Operation,
        input: impl FnOnce() -> Result<Value, ApiError>,
        is_repeatable: bool,
    ) -> Result<Value, ApiError> {
        let Caller { principal, region, request_id, now, peer, user_agent, host } = caller;
        let started = Instant::now();
        // Messages of the data plane go on: only their failures are recorded, and those wait for the log.
        let is_message = matches!(operation.service, ServiceId::IotData | ServiceId::IotJobsData);
        if self.room().await.is_err() && !is_message {
            self.gate.unrecorded(&principal, &region);
            self.options.metrics.count(operation.service, Outcome::Failed);
            return Err(no_record());
        }
        let decoded = self
            .fairness
            .take(&principal.unique_id, operation.read_only, now)
            .and_then(|()| self.options.quotas.take(&principal.account, operation, now))
            .and_then(|()| input());
        let request_parameters = match (&decoded, operation.input) {
            (Ok(input), Some(shape)) if input.as_object().is_some_and(|members| !members.is_empty()) => {
                redact(shape, input)
            }
            _ => Value::Null,
        };
        let ctx = self.gate.begin(
            principal,
            CallFacts {
                region,
                request_id,
                source_ip: peer.source_ip,
                user_agent: user_agent.to_owned(),
                now,
                operation,
                request_parameters,
                tls: TlsDetails {
                    version: SmolStr::new_static(peer.tls_version),
                    cipher_suite: SmolStr::new_static(peer.cipher_suite),
                    host: SmolStr::new(host),
                },
            },
        );
        let outcome = match decoded {
            Err(error) => Err(error),
            Ok(input) => self.run(&ctx, operation, input).await,
        };
        if is_repeatable {
            self.gate.conclude_repeatable(&ctx, &outcome);
        } else {
            self.gate.conclude(&ctx, &outcome);
        }
        self.options.metrics.count(operation.service, Outcome::of(&outcome));
        self.options.metrics.took(operation.service, started.elapsed().as_secs_f64());
        outcome
    }

    /// Runs the operation; a panic in it becomes an internal failure.
    async fn run(
        &self,
        ctx: &marram_identity::CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> Result<Value, ApiError> {
        let mut services = self.services.get(&operation.service).into_iter().flatten();
        let Some(service) = services.find(|service| service.offers(operation)) else {
            return Err(decode::not_supported(operation));
        };
        let work = AssertUnwindSafe(service.call(ctx, operation, input)).catch_unwind();
        match work.await {
            Ok(outcome) => outcome,
            Err(_) => {
                tracing::error!(operation = operation.iam_action, request = %ctx.request_id, "an operation panicked");
                Err(ApiError::internal())
            }
        }
    }
}

impl Answer {
    fn stranger(response: marram_aws_api::Response) -> Answer {
        Answer { response: to_http(response), authenticated: false }
    }
}

/// The refusal of a request whose answer a browser would run: what tenants write is data.
fn not_to_be_run(service: ServiceId) -> Response {
    let error = ApiError::access_denied("Browsers may save this and look at it, and not run it as a part of a page");
    to_http(encode::error(service, &error, &RequestId::fresh().to_string()))
}

/// A failed authentication in the words of the service (control-plane-api 2.7).
fn spell(service: ServiceId, failure: &AuthFailure) -> ApiError {
    let style = match service.protocol() {
        Protocol::Json10 | Protocol::Json11 => ErrorStyle::Json,
        Protocol::RestJson => ErrorStyle::RestJson,
        Protocol::Query => ErrorStyle::Query,
        Protocol::RestXml => ErrorStyle::S3,
    };
    let refusal = failure.refusal(style);
    ApiError::new(refusal.code, refusal.status, refusal.message)
}

/// What a call is answered that cannot be recorded (security 7.2: calls fail closed).
fn no_record() -> ApiError {
    let message = "The audit log cannot be written; calls are refused until it can";
    let mut error = ApiError::new("ServiceUnavailableException", 503, message);
    error.retry_after_secs = Some(1);
    error
}

/// The service in the credential scope of the `Authorization` header, unverified.
fn claimed_service(head: &Head) -> Option<&str> {
    let header = head.headers.get("authorization")?.to_str().ok()?;
    let credential = header.split_once("Credential=")?.1;
    credential.split([',', ' ']).next()?.split('/').nth(3)
}

fn find<'a>(headers: &[(&str, &'a str)], name: &str) -> &'a str {
    headers.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

/// At most `bytes` bytes of `text`, whole characters.
fn shorten(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

pub(crate) fn to_http(response: marram_aws_api::Response) -> Response {
    let mut http = Response::new(Bytes::from(response.body));
    *http.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(content_type) = response.content_type {
        http.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in response.headers {
        // A value that no header can hold is left out rather than failing the whole answer.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            http.headers_mut().append(name, value);
        }
    }
    http
}
