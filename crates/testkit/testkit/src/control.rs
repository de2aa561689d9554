//! The parts of a control plane that every service stands on: clock, store, audit, identity.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use marram_audit::Audit;
use marram_aws_api::{ApiError, Operation};
use marram_identity::{CallContext, CallFacts, Identity, IdentityOptions, Principal, Service, TlsDetails};
use marram_store::{Store, StoreError, StoreOptions};
use marram_types::{Clock, ManualClock, Region, RequestId, Timestamp};
use serde_json::Value;

use crate::answer::check_answer;

/// How long something waited for may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(3);
/// When the clock starts: seconds since the epoch.
const START: i64 = 1_800_000_000;

/// Clock, store, audit log and identities of one directory.
pub struct Control {
    /// Moves when told.
    pub clock: Arc<ManualClock>,
    /// The store, without the tables of any service.
    pub store: Store,
    /// The audit log.
    pub audit: Audit,
    /// Accounts and decisions.
    pub identity: Identity,
    /// Where calls are made.
    pub region: Region,
}

impl Control {
    /// Opens what `dir` holds.
    pub fn open(dir: &Path, region: Region) -> Control {
        Control::over(Store::open(dir, StoreOptions::default()).expect("the store opens"), dir, region)
    }

    /// Opens what `dir` holds, as soon as whoever had it open before has let go of it.
    pub async fn reopen(dir: &Path, region: Region) -> Control {
        let store = until(async || match Store::open(dir, StoreOptions::default()) {
            Err(StoreError::Locked { .. }) => None,
            opened => Some(opened.expect("the store opens")),
        })
        .await;
        Control::over(store, dir, region)
    }

    fn over(store: Store, dir: &Path, region: Region) -> Control {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(START)));
        let audit = Audit::open(store.clone(), dir, clock.clone()).expect("the audit log opens");
        let identity = Identity::open(store.clone(), audit.clone(), clock.clone(), IdentityOptions::default())
            .expect("the identities open");
        Control { clock, store, audit, identity, region }
    }

    /// A call under way, for decisions without a service.
    pub fn context(&self, principal: impl Into<Arc<Principal>>, operation: &'static Operation) -> CallContext {
        let facts = CallFacts {
            region: self.region.clone(),
            request_id: RequestId::fresh(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: String::new(),
            now: self.clock.now(),
            operation,
            request_parameters: Value::Null,
            tls: TlsDetails::default(),
        };
        self.identity.context(principal, facts)
    }

    /// Calls an operation as the front door does, and checks the answer against the model.
    pub async fn call(
        &self,
        service: &dyn Service,
        principal: Principal,
        operation: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let operation = service.id().operation(operation).unwrap_or_else(|| panic!("no operation {operation}"));
        let ctx = self.context(principal, operation);
        let answer = service.call(&ctx, operation, input).await;
        check_answer(service.id(), operation, &answer);
        answer
    }
}

/// Waits until `probe` finds something; panics when that takes too long.
pub async fn until<T>(probe: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "what was waited for did not happen");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
