//! Reserved topics: which service answers a publish on `$aws/...` (CP 5.8).

use std::sync::{Arc, OnceLock};

use marram_broker::{Interception, Interceptor, Message, Origin};

/// The services behind reserved topics. The broker starts before them, so they are filled in afterwards; until then every
/// reserved topic is unknown.
#[derive(Default)]
pub struct ReservedTopics {
    services: OnceLock<ReservedServices>,
}

/// Who answers which family.
pub struct ReservedServices {
    /// `$aws/things/{thing}/shadow/...`
    pub shadows: Arc<dyn Interceptor>,
    /// `$aws/things/{thing}/jobs/...`
    pub jobs: Arc<dyn Interceptor>,
    /// `$aws/things/{thing}/greengrassv2/...` and `$aws/things/{thing}/greengrass/...`
    pub status: Arc<dyn Interceptor>,
    /// `$aws/things/{thing}/thingsgraph/...`
    pub flows: Arc<dyn Interceptor>,
    /// `$aws/certificates/...` and `$aws/provisioning-templates/...`
    pub provisioning: Arc<dyn Interceptor>,
}

impl ReservedTopics {
    /// Names the services, once.
    pub fn serve(&self, services: ReservedServices) {
        // A second call would come from a second composition of the same broker, and there is none.
        let _: Result<(), _> = self.services.set(services);
    }
}

impl Interceptor for ReservedTopics {
    fn publish(&self, origin: Origin, message: &Message) -> Interception {
        let Some(services) = self.services.get() else { return Interception::Unknown };
        let mut levels = message.topic.split('/').skip(1);
        let service = match (levels.next(), levels.next(), levels.next()) {
            (Some("things"), Some(_), Some("shadow")) => &services.shadows,
            (Some("things"), Some(_), Some("jobs")) => &services.jobs,
            (Some("things"), Some(_), Some("greengrassv2" | "greengrass")) => &services.status,
            (Some("things"), Some(_), Some("thingsgraph")) => &services.flows,
            (Some("certificates" | "provisioning-templates"), ..) => &services.provisioning,
            _ => return Interception::Unknown,
        };
        service.publish(origin, message)
    }
}
