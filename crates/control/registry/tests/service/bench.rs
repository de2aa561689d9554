//! A registry over a store in a temporary directory, called as the front door calls it.

use std::sync::Arc;
use std::time::Duration;

use marram_aws_api::{ApiError, ServiceId};
use marram_identity::{Principal, Service};
use marram_pki::{CertificateAuthority, Validity};
use marram_registry::{
    DeviceAuthority, Endpoints, MIGRATIONS, NewDevice, ProvisionedDevice, Realm, Registry, RegistryOptions,
    minimal_device_policy, provision_device,
};
use marram_store::Store;
use marram_testkit::Control;
use marram_types::{AccountId, ManualClock, Partition, Region};
use serde_json::Value;

/// The second account of the tests.
pub const OTHER: &str = "111111111111";

pub struct Bench {
    pub clock: Arc<ManualClock>,
    pub registry: Registry,
    pub store: Store,
    control: Control,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open(dir.path(), Region::default_region());
        control.store.migrate(MIGRATIONS).unwrap();
        let authority = CertificateAuthority::create("CA", Validity::starting(1_800_000_000, 86_400 * 3650)).unwrap();
        let registry =
            Registry::new(RegistryOptions::new(Arc::new(authority), Endpoints::single("iot.marram.example")));
        Self { clock: control.clock.clone(), registry, store: control.store.clone(), control, _dir: dir }
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
        let principal = Principal::root(account.parse().unwrap(), Partition::aws().as_str());
        self.control.call(service, principal, operation, input).await
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
        marram_testkit::pages(model, input, member, page, async |input| self.ok(operation, input).await).await
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
        provision_device(&self.registry, &self.control.identity, &principal, &region, &device).await.unwrap()
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}
