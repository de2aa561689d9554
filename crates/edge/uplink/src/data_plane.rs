//! The Greengrass data plane over HTTPS with the device's certificate, and downloads (CR 5.3).

mod field;

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use marram_edge_ports::{
    ArtifactPlace, AwsCredentials, Candidate, Credentials, DataPlane, DataPlaneError, Later, Resolved,
};
use marram_http::{
    Client, ClientError, ClientLimits, ClientRequest, HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    StreamedResponse, Uri,
};
use marram_sigv4::{AmzTime, PayloadHash, Signer, ToSign};
use marram_types::{SecretString, SharedClock};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::road::{Purpose, Road, Via};

/// Time for one answer (`httpClient.socketTimeoutMs`).
const ANSWER: Duration = Duration::from_secs(30);
/// Largest JSON answer, bytes: a recipe of 16 KiB and its wrapping, a page of groups.
const ANSWER_MAX: usize = 1024 * 1024;
/// Largest deployment document (CR 4.2).
const DOCUMENT_MAX: u64 = 10 * 1024 * 1024;
/// Denied requests that are remembered.
const DENIED_MAX: usize = 32;
/// Pages of groups that are read.
const PAGES_MAX: usize = 100;
/// What stands for itself in a path segment.
pub(crate) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same with slashes, for greedy segments.
const GREEDY: &AsciiSet = &SEGMENT.remove(b'/');

/// Where the data plane is.
#[derive(Debug, Clone)]
pub struct DataPlaneSettings {
    /// Thing name of the core.
    pub thing: String,
    /// Region, for S3.
    pub region: String,
    /// Host of the data plane.
    pub host: String,
    /// Port of the data plane.
    pub port: u16,
    /// Where S3 is, `https://host[:port]`, path style; none: the regional endpoint of the region.
    pub s3_endpoint: Option<String>,
    /// `s3EndpointType`.
    pub s3_endpoint_type: &'static str,
    /// How to reach hosts.
    pub road: Road,
}

pub(crate) struct Ready {
    settings: DataPlaneSettings,
    /// Requests whose last answer was that the device has no right to them, and what was said.
    denied: Mutex<BTreeMap<String, String>>,
    device: Client,
    plain: Client,
}

/// The data plane. Without settings every call answers [`DataPlaneError::NotConfigured`].
pub struct Greengrass {
    ready: RwLock<Option<Arc<Ready>>>,
    credentials: Arc<dyn Credentials>,
    clock: SharedClock,
}

impl Greengrass {
    /// A data plane; `credentials` are for `s3://` artifacts.
    pub fn new(settings: Option<DataPlaneSettings>, credentials: Arc<dyn Credentials>, clock: SharedClock) -> Self {
        let plane = Greengrass { ready: RwLock::new(None), credentials, clock };
        plane.reconfigure(settings);
        plane
    }

    /// Other settings from now on.
    pub fn reconfigure(&self, settings: Option<DataPlaneSettings>) {
        let limits = ClientLimits { body: ANSWER_MAX, ..ClientLimits::default() };
        let client = |road: &Road, purpose| Client::new(Via { road: road.clone(), purpose }, limits.clone());
        let ready = settings.map(|settings| {
            let device = client(&settings.road, Purpose::DeviceHttps);
            let plain = client(&settings.road, Purpose::PlainHttps);
            Arc::new(Ready { settings, denied: Mutex::default(), device, plain })
        });
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = ready;
    }

    /// Requests whose last answer was that the device has no right to them (`GET /things/...`), each with the answer's words.
    pub fn denied(&self) -> Vec<(String, String)> {
        let Ok(ready) = self.ready() else { return Vec::new() };
        let denied = ready.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.iter().map(|(request, words)| (request.clone(), words.clone())).collect()
    }

    pub(crate) fn ready(&self) -> Result<Arc<Ready>, DataPlaneError> {
        self.ready.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(DataPlaneError::NotConfigured)
    }

    async fn signed(
        &self,
        ready: &Ready,
        bucket: &str,
        key: &str,
        range: Option<u64>,
    ) -> Result<StreamedResponse, DataPlaneError> {
        let credentials = self
            .credentials
            .credentials(None)
            .await
            .map_err(|error| DataPlaneError::Unreachable(format!("no credentials for s3: {error}")))?;
        let (bucket, key) = (utf8_percent_encode(bucket, SEGMENT), utf8_percent_encode(key, GREEDY));
        let url = match &ready.settings.s3_endpoint {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
            None => format!("https://s3.{}.amazonaws.com/{bucket}/{key}", ready.settings.region),
        };
        let uri: Uri = url.parse().map_err(|_| DataPlaneError::Malformed(format!("{url} is not a URL")))?;
        let mut request = get(uri.clone());
        let host = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let now = AmzTime::from_epoch(self.clock.now().as_millis() / 1000)
            .ok_or_else(|| DataPlaneError::Malformed("the clock is out of range".to_owned()))?;
        let signer = signing(&credentials);
        let signer = Signer { credentials: &signer, region: &ready.settings.region, service: "s3" };
        let headers: &[(&str, &[u8])] = &[("host", host.as_bytes())];
        let to_sign = ToSign { method: "GET", target: &target, headers, payload: PayloadHash::Of(b"") };
        for (name, value) in signer.sign(&to_sign, &now) {
            let value = HeaderValue::try_from(value)
                .map_err(|_| DataPlaneError::Malformed("a signature is not text".to_owned()))?;
            request.headers.insert(HeaderName::from_static(name), value);
        }
        ranged(&mut request, range);
        ready.plain.open(request, ANSWER).await.map_err(unreachable)
    }

    async fn open(&self, place: &ArtifactPlace, from: Option<u64>) -> Result<StreamedResponse, DataPlaneError> {
        let ready = self.ready()?;
        let response = match place {
            ArtifactPlace::Url(url) => {
                let uri: Uri =
                    url.parse().map_err(|_| DataPlaneError::Malformed("the presigned URL is not a URL".to_owned()))?;
                let mut request = get(uri);
                ranged(&mut request, from);
                ready.plain.open(request, ANSWER).await.map_err(unreachable)?
            }
            ArtifactPlace::S3 { bucket, key } => self.signed(&ready, bucket, key, from).await?,
        };
        if response.status.is_success() || response.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        Err(refused(response).await)
    }
}

fn signing(credentials: &AwsCredentials) -> marram_sigv4::Credentials {
    marram_sigv4::Credentials {
        access_key_id: credentials.access_key_id.clone(),
        secret: SecretString::new(credentials.secret_access_key.clone()),
        session_token: Some(credentials.session_token.clone()),
    }
}

fn get(url: Uri) -> ClientRequest {
    ClientRequest { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
}

fn ranged(request: &mut ClientRequest, from: Option<u64>) {
    if let Some(from) = from.filter(|from| *from > 0)
        && let Ok(value) = HeaderValue::try_from(format!("bytes={from}-"))
    {
        request.headers.insert(HeaderName::from_static("range"), value);
    }
}

fn unreachable(error: ClientError) -> DataPlaneError {
    match error {
        ClientError::Url(reason) => DataPlaneError::Malformed(reason.to_owned()),
        ClientError::TooLarge { limit } => DataPlaneError::Malformed(format!("it is larger than {limit} bytes")),
        ClientError::Connect { host, port, cause } => DataPlaneError::Unreachable(format!("{host}:{port}: {cause}")),
        other => DataPlaneError::Unreachable(other.to_string()),
    }
}

async fn refused(mut response: StreamedResponse) -> DataPlaneError {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk(ANSWER).await {
        if body.len() + chunk.len() > 16 * 1024 {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    answered(response.status, &response.headers, &body)
}

fn answered(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> DataPlaneError {
    let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let code = headers
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok())
        .map(|name| name.split(':').next().unwrap_or(name).to_owned())
        .or_else(|| xml_text(body, "Code"))
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("error").to_owned());
    let message = ["message", "Message"]
        .iter()
        .find_map(|name| parsed.get(name).and_then(Value::as_str))
        .map(str::to_owned)
        .or_else(|| xml_text(body, "Message"))
        .unwrap_or_default();
    DataPlaneError::Answered { status: status.as_u16(), code, message }
}

/// The text of the first element of that name: enough for an S3 error.
fn xml_text(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(value, _)| value.to_owned())
}

impl Ready {
    pub(crate) async fn ask(&self, method: Method, target: &str, body: Option<Value>) -> Result<Value, DataPlaneError> {
        let host = &self.settings.host;
        let authority = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let url = format!("https://{authority}:{}{target}", self.settings.port);
        let url: Uri = url.parse().map_err(|_| DataPlaneError::Malformed(format!("{url} is not a URL")))?;
        let mut headers = HeaderMap::new();
        let body = match body {
            Some(body) => {
                headers.insert(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let asked = format!("{method} {}", url.path());
        let response =
            self.device.send(ClientRequest { method, url, headers, body }, ANSWER).await.map_err(unreachable)?;
        let refusal =
            (!response.status.is_success()).then(|| answered(response.status, &response.headers, &response.body));
        self.note(asked, refusal.as_ref());
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        if response.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&response.body).map_err(|error| DataPlaneError::Malformed(error.to_string()))
    }

    fn note(&self, asked: String, refusal: Option<&DataPlaneError>) {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        match refusal {
            Some(DataPlaneError::Answered { status: 403, code, message }) => {
                if denied.len() < DENIED_MAX || denied.contains_key(&asked) {
                    denied.insert(asked, format!("{code}: {message}"));
                }
            }
            _ => drop(denied.remove(&asked)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResolveAnswer {
    resolved_component_versions: Vec<ResolvedVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResolvedVersion {
    arn: String,
    component_name: String,
    component_version: String,
    recipe: String,
    vendor_guidance: Option<String>,
    marram_signature: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupsAnswer {
    #[serde(default)]
    thing_groups: Vec<Group>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    thing_group_name: Option<String>,
    #[serde(default)]
    root_to_parent_thing_groups: Vec<Group>,
}

fn malformed(error: serde_json::Error) -> DataPlaneError {
    DataPlaneError::Malformed(error.to_string())
}

impl DataPlane for Greengrass {
    fn is_configured(&self) -> bool {
        self.ready().is_ok()
    }

    fn resolve(&self, platform: Vec<(String, String)>, candidate: Candidate) -> Later<'_, Resolved, DataPlaneError> {
        Box::pin(async move {
            let ready = self.ready()?;
            let attributes: serde_json::Map<String, Value> =
                platform.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
            let requirements: serde_json::Map<String, Value> =
                candidate.requirements.into_iter().map(|(origin, range)| (origin, Value::String(range))).collect();
            let mut wanted = json!({ "componentName": candidate.name, "versionRequirements": requirements });
            if let Some(version) = candidate.version {
                wanted["componentVersion"] = Value::String(version);
            }
            let body = json!({ "platform": { "attributes": attributes }, "componentCandidates": [wanted] });
            let answer = ready.ask(Method::POST, "/greengrass/v2/resolveComponentCandidates", Some(body)).await?;
            let answer: ResolveAnswer = serde_json::from_value(answer).map_err(malformed)?;
            let [resolved] = <[ResolvedVersion; 1]>::try_from(answer.resolved_component_versions)
                .map_err(|all| DataPlaneError::Malformed(format!("one component was asked for, {} came", all.len())))?;
            let recipe = STANDARD
                .decode(resolved.recipe)
                .map_err(|error| DataPlaneError::Malformed(format!("recipe: {error}")))?;
            Ok(Resolved {
                arn: resolved.arn,
                name: resolved.component_name.into(),
                version: resolved.component_version,
                recipe: recipe.into(),
                vendor_guidance: resolved.vendor_guidance,
                signature: resolved.marram_signature,
            })
        })
    }

    fn artifact_url<'a>(&'a self, arn: &'a str, name: &'a str) -> Later<'a, String, DataPlaneError> {
        Box::pin(async move {
            let ready = self.ready()?;
            let target = format!(
                "/greengrass/v2/components/{}/artifacts/{}?s3EndpointType={}",
                utf8_percent_encode(arn, SEGMENT),
                utf8_percent_encode(name, GREEDY),
                ready.settings.s3_endpoint_type
            );
            let answer = ready.ask(Method::GET, &target, None).await?;
            answer["preSignedUrl"]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| DataPlaneError::Malformed("preSignedUrl is missing".to_owned()))
        })
    }

    fn thing_groups(&self) -> Later<'_, Vec<String>, DataPlaneError> {
        Box::pin(async move {
            let ready = self.ready()?;
            let thing = utf8_percent_encode(&ready.settings.thing, SEGMENT);
            let mut names: Vec<String> = Vec::new();
            let mut token: Option<String> = None;
            for _ in 0..PAGES_MAX {
                let query = token
                    .map(|token| format!("?nextToken={}", utf8_percent_encode(&token, SEGMENT)))
                    .unwrap_or_default();
                let target = format!("/greengrass/v2/coreDevices/{thing}/thingGroups{query}");
                let answer = ready.ask(Method::GET, &target, None).await?;
                let answer: GroupsAnswer = serde_json::from_value(answer).map_err(malformed)?;
                for group in answer.thing_groups {
                    names.extend(
                        group.root_to_parent_thing_groups.into_iter().filter_map(|parent| parent.thing_group_name),
                    );
                    names.extend(group.thing_group_name);
                }
                token = answer.next_token;
                if token.is_none() {
                    names.sort();
                    names.dedup();
                    return Ok(names);
                }
            }
            Err(DataPlaneError::Malformed("the list of groups does not end".to_owned()))
        })
    }

    fn large_document<'a>(&'a self, deployment_id: &'a str) -> Later<'a, Value, DataPlaneError> {
        Box::pin(async move {
            let ready = self.ready()?;
            let target = format!(
                "/greengrass/v2/coreDevices/{}/deployments/{}/configuration?s3EndpointType={}",
                utf8_percent_encode(&ready.settings.thing, SEGMENT),
                utf8_percent_encode(deployment_id, SEGMENT),
                ready.settings.s3_endpoint_type
            );
            let answer = ready.ask(Method::GET, &target, None).await?;
            let url = answer["preSignedUrl"]
                .as_str()
                .ok_or_else(|| DataPlaneError::Malformed("preSignedUrl is missing".to_owned()))?;
            let mut response = self.open(&ArtifactPlace::Url(url.to_owned()), None).await?;
            let mut text = Vec::new();
            while let Some(chunk) = response.chunk(ANSWER).await.map_err(unreachable)? {
                if (text.len() + chunk.len()) as u64 > DOCUMENT_MAX {
                    return Err(DataPlaneError::Malformed(format!("the document is larger than {DOCUMENT_MAX} bytes")));
                }
                text.extend_from_slice(&chunk);
            }
            let check = &answer["integrityCheck"];
            let digest = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text));
            if check["algorithm"].as_str() != Some("SHA-256") || check["digest"].as_str() != Some(&digest) {
                return Err(DataPlaneError::Malformed(
                    "the document does not have the digest that was announced".to_owned(),
                ));
            }
            serde_json::from_slice(&text).map_err(malformed)
        })
    }

    fn size<'a>(&'a self, place: &'a ArtifactPlace) -> Later<'a, u64, DataPlaneError> {
        Box::pin(async move {
            // A presigned URL is for GET alone: the body is not read, its connection closes.
            let response = self.open(place, None).await?;
            length_of(&response.headers)
                .ok_or_else(|| DataPlaneError::Malformed("Content-Length is missing".to_owned()))
        })
    }

    fn download<'a>(&'a self, place: &'a ArtifactPlace, to: &'a Path, limit: u64) -> Later<'a, u64, DataPlaneError> {
        Box::pin(async move {
            let disk = |error: std::io::Error| DataPlaneError::Disk { path: to.to_owned(), reason: error.to_string() };
            let mut file =
                tokio::fs::OpenOptions::new().create(true).write(true).truncate(false).open(to).await.map_err(disk)?;
            let mut length = file.seek(SeekFrom::End(0)).await.map_err(disk)?;
            let mut response = self.open(place, Some(length)).await?;
            if length > 0 && response.status == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok(length);
            }
            if length > 0 && response.status != StatusCode::PARTIAL_CONTENT {
                // It sends all of it again.
                file.set_len(0).await.map_err(disk)?;
                length = file.seek(SeekFrom::Start(0)).await.map_err(disk)?;
            }
            while let Some(chunk) = response.chunk(ANSWER).await.map_err(unreachable)? {
                length += chunk.len() as u64;
                if length > limit {
                    return Err(DataPlaneError::Malformed(format!(
                        "the artifact is larger than the {limit} bytes announced"
                    )));
                }
                file.write_all(&chunk).await.map_err(disk)?;
            }
            file.flush().await.map_err(disk)?;
            file.sync_all().await.map_err(disk)?;
            Ok(length)
        })
    }
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}
