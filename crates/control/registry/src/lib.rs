//! Things, types, groups, certificates, policies and the iot-data plane.
//!
//! * [`Registry`] is the service `iot` (control-plane-api.md section 4): one file per operation family, each beginning
//!   with the permission it needs.
//! * [`DeviceAuthority`] decides for connected devices (5.6) and keeps live sessions true to the registry.
//! * [`DataService`] is the service `iot-data` (5.11) over the broker.
//!
//! Tables are in [`MIGRATIONS`]; every key starts with account and region.

mod attribute;
mod authority;
mod bootstrap;
mod ca;
mod certificate;
mod change;
mod credentials;
mod data;
mod endpoint;
mod input;
mod membership;
mod page;
mod policy;
mod realm;
mod role_alias;
mod schema;
mod service;
mod tag;
mod thing;
mod thing_group;
mod thing_type;

pub use authority::{DeviceAuthority, DeviceSession, LiveSessions, SurveyedDevice};
pub use bootstrap::{NewDevice, ProvisionedDevice, minimal_device_policy, provision_device};
pub use ca::{Newcomers, RegisteringCa, find_registering_ca, insert_newcomer};
pub use certificate::{
    active_certificate_things, active_certificates_of_thing, insert_claim_certificate, insert_pending_certificate,
    remove_certificate,
};
pub use credentials::CredentialsService;
pub use data::{BrokerMessages, DataService, Lanes, MessagePort, Outbox, PublishError};
pub use endpoint::Endpoints;
pub use membership::{MembershipChange, MembershipWatch};
pub use realm::{Realm, shown};
pub use role_alias::{RoleAlias, find_role_alias};
pub use schema::MIGRATIONS;
pub use service::{DEFAULT_DEVICE_CERTIFICATE_SECS, DEFAULT_MAX_POLICY_CHARS, Registry, RegistryOptions};
pub use tag::{Tags, delete_tags, insert_tags, pairs as tag_pairs, tags_from, tags_of};
pub use thing::{FoundThing, find_thing};
