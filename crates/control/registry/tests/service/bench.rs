//! A registry over a store in a temporary directory, called as the front door calls it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use marram_audit::Audit;
use marram_aws_api::{ApiError, Kind, Operation, ServiceId, Shape};
use marram_identity::{CallFacts, Identity, IdentityOptions, Principal, Service, TlsDetails};
use marram_pki::{CertificateAuthority, Validity};
use marram_registry::{
    DeviceAuthority, Endpoints, MIGRATIONS, NewDevice, ProvisionedDevice, Realm, Registry, RegistryOptions,
    minimal_device_policy, provision_device,
};
use marram_store::{Store, StoreOptions};
use marram_types::{AccountId, Clock, ManualClock, Partition, Region, RequestId, Timestamp};
use serde_json::Value;

/// The second account of the tests.
pub const OTHER: &str = "111111111111";

pub struct Bench {
    pub clock: Arc<ManualClock>,
    pub registry: Registry,
    pub store: Store,
    identity: Identity,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let identity = identity(&store, dir.path(), clock.clone());
        store.migrate(MIGRATIONS).unwrap();
        let authority = CertificateAuthority::create("CA", Validity::starting(1_800_000_000, 86_400 * 3650)).unwrap();
        let registry =
            Registry::new(RegistryOptions::new(Arc::new(authority), Endpoints::single("iot.marram.example")));
        Self { clock, registry, store, identity, _dir: dir }
    }

    /// Calls an operation as the root of an account, and checks the answer against the model.
    pub async fn call_as(&self, account: &str, operation: &str, input: Value) -> Result<Value, ApiError> {
        self.call_service(&self.registry, account, operation, input).await
    }

    /// Calls an operation of any service.
    pub async fn call_service(
        &self,
        service: &dyn Service,
        account: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let operation = service.id().operation(operation).unwrap_or_else(|| panic!("no operation {operation}"));
        let account: AccountId = account.parse().unwrap();
        let principal = Principal::root(account, Partition::aws().as_str());
        let facts = CallFacts {
            region: Region::default_region(),
            request_id: RequestId::fresh(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: String::new(),
            now: self.clock.now(),
            operation,
            request_parameters: Value::Null,
            tls: TlsDetails::default(),
        };
        let ctx = self.identity.context(principal, facts);
        let answer = service.call(&ctx, operation, input).await;
        match &answer {
            Ok(value) => conforms(operation, operation.output, value),
            Err(error) => {
                // CreateThingGroup below a parent that is not there answers a code its model leaves out.
                let modelled = operation.error(&error.code).or_else(|| service.id().table().error(&error.code));
                let modelled = modelled.unwrap_or_else(|| panic!("{} does not model {error}", operation.name));
                assert_eq!(modelled.status, error.status, "{}: {error}", operation.name);
                for member in error.members.keys() {
                    assert!(modelled.members.contains(&member.as_str()), "{}: {member}", operation.name);
                }
            }
        }
        answer
    }

    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, ApiError> {
        self.call_as(AccountId::first().as_str(), operation, input).await
    }

    /// A call that succeeds.
    pub async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// A call that is refused with this code.
    pub async fn refused(&self, operation: &str, input: Value, code: &str) -> ApiError {
        match self.call(operation, input).await {
            Ok(answer) => panic!("{operation} answered {answer} instead of {code}"),
            Err(error) => {
                assert_eq!(error.code, code, "{operation}: {error}");
                error
            }
        }
    }

    /// Every item of a list, page by page.
    pub async fn pages(&self, operation: &str, input: Value, member: &str, page: i64) -> Vec<Value> {
        let model = ServiceId::Iot.operation(operation).unwrap();
        let members: Vec<&str> = model.input.unwrap().members().iter().map(|member| member.name).collect();
        let (token_in, token_out, limit) = if members.contains(&"marker") {
            ("marker", "nextMarker", "pageSize")
        } else {
            ("nextToken", "nextToken", "maxResults")
        };
        let mut input = input;
        input[limit] = page.into();
        let mut all = Vec::new();
        loop {
            let answer = self.ok(operation, input.clone()).await;
            let items = answer[member].as_array().unwrap().clone();
            assert!(items.len() <= usize::try_from(page).unwrap(), "{operation}: a page is too long");
            all.extend(items);
            match answer.get(token_out) {
                Some(token) => input[token_in] = token.clone(),
                None => return all,
            }
            assert!(all.len() < 10_000, "{operation} does not end");
        }
    }

    /// A device authority as a start of the program makes it.
    pub fn authority(&self) -> DeviceAuthority {
        DeviceAuthority::new(&self.registry, self.store.clone(), Partition::aws(), self.clock.clone(), None)
    }

    /// A device by `provision_device`, in the name of the first account's root.
    pub async fn provision(&self, thing: &str) -> ProvisionedDevice {
        let (partition, account, region) = (Partition::aws(), AccountId::first(), Region::default_region());
        let principal = Principal::root(account.clone(), partition.as_str());
        let device = NewDevice {
            thing: thing.parse().unwrap(),
            attributes: [("line".to_owned(), "4".to_owned())].into(),
            policy: "devices".parse().unwrap(),
            policy_document: minimal_device_policy(&Realm { partition, account, region: region.clone() }),
        };
        provision_device(&self.registry, &self.identity, &principal, &region, &device).await.unwrap()
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn identity(store: &Store, dir: &std::path::Path, clock: Arc<ManualClock>) -> Identity {
    let audit = Audit::open(store.clone(), dir, clock.clone()).unwrap();
    Identity::open(store.clone(), audit, clock, IdentityOptions::default()).unwrap()
}

/// Every member of an answer is one the model knows, with the model's type.
fn conforms(operation: &Operation, shape: Option<&'static Shape>, value: &Value) {
    match shape {
        None => assert!(value.as_object().is_some_and(serde_json::Map::is_empty), "{} is void", operation.name),
        Some(shape) => conforms_to(shape, value, operation.name),
    }
}

fn conforms_to(shape: &'static Shape, value: &Value, at: &str) {
    let fits = match &shape.kind {
        Kind::Structure { .. } => {
            for (name, value) in value.as_object().unwrap_or_else(|| panic!("{at} is {value}")) {
                let member = shape.member(name).unwrap_or_else(|| panic!("{at} has no member {name}"));
                conforms_to(member.shape, value, &format!("{at}.{name}"));
            }
            true
        }
        Kind::List { member, .. } => {
            for value in value.as_array().unwrap_or_else(|| panic!("{at} is {value}")) {
                conforms_to(member, value, at);
            }
            true
        }
        Kind::Map { value: member, .. } => {
            for value in value.as_object().unwrap_or_else(|| panic!("{at} is {value}")).values() {
                conforms_to(member, value, at);
            }
            true
        }
        Kind::String { values, pattern, .. } => value.as_str().is_some_and(|text| {
            (values.is_empty() || values.contains(&text)) && pattern.is_none_or(|pattern| pattern.is_match(text))
        }),
        Kind::Integer(_) | Kind::Long(_) => value.is_i64(),
        Kind::Boolean => value.is_boolean(),
        Kind::Timestamp(_) => value.is_number(),
        _ => true,
    };
    assert!(fits, "{at} is {value}");
}
