//! Fleet provisioning: templates, claims, just-in-time provisioning (CP 4.8, 5.10).
//!
//! ```text
//! $aws/certificates/create..  -> PENDING_ACTIVATION certificate + ownership token (bound to the caller's certificate)
//! $aws/provisioning-templates/{name}/provision -> token + template + parameters -> Plan -> registry operations
//! ```
//!
//! * [`ProvisioningService`] answers the operations on templates, claims and `RegisterThing`.
//! * [`ProvisioningTopics`] answers the topics. Answers go to the session that asked and to nobody else: they hold keys.
//! * [`JustInTime`] takes up certificates of registered CAs when they first connect: JITR, and JITP with a template.
//! * What a template makes is made by ordinary registry operations, in the name of the template's role: a device gets
//!   nothing that the role may not give, and every step is audited.

mod apply;
mod cbor;
mod control;
mod fleet;
mod just_in_time;
mod provisioning;
mod row;
mod schema;
mod template;
mod topics;

pub use cbor::{CborError, from_cbor, to_cbor};
pub use control::ProvisioningService;
pub use just_in_time::JustInTime;
pub use provisioning::Provisioning;
pub use schema::MIGRATIONS;
pub use template::{
    CertificatePlan, CertificateSource, MAX_BODY_CHARS, Override, Plan, PolicyPlan, Template, TemplateError, ThingPlan,
};
pub use topics::ProvisioningTopics;
