//! Operation and shape tables, one module per service, written by `cargo xtask codegen`.

#[rustfmt::skip]
pub mod cloudtrail;
#[rustfmt::skip]
pub mod cloudwatch;
#[rustfmt::skip]
pub mod greengrass;
#[rustfmt::skip]
pub mod greengrassv2;
#[rustfmt::skip]
pub mod iam;
#[rustfmt::skip]
pub mod iot;
#[rustfmt::skip]
pub mod iot_data;
#[rustfmt::skip]
pub mod iot_jobs_data;
#[rustfmt::skip]
pub mod iotthingsgraph;
#[rustfmt::skip]
pub mod logs;
#[rustfmt::skip]
pub mod secretsmanager;
#[rustfmt::skip]
pub mod sts;

/// The words the tables are written with.
mod build {
    pub(super) use crate::model::{
        BULK_BODY_LIMIT, DEFAULT_BODY_LIMIT, DEFINITION_BODY_LIMIT, DEPLOYMENT_BODY_LIMIT, ErrorShape, Kind, Location,
        Member, Number, Operation, POLICY_BODY_LIMIT, Pagination, Pattern, Shape, TimestampFormat,
    };
    pub(super) use crate::service::{Protocol, Service, ServiceId};

    pub(super) const fn member(
        name: &'static str,
        wire: &'static str,
        location: Location,
        shape: &'static Shape,
        required: bool,
    ) -> Member {
        Member { name, wire, location, shape, required, json_value: false }
    }

    pub(super) const fn json_member(
        name: &'static str,
        wire: &'static str,
        location: Location,
        shape: &'static Shape,
        required: bool,
    ) -> Member {
        Member { name, wire, location, shape, required, json_value: true }
    }

    pub(super) const fn list(
        member: &'static Shape,
        element: &'static str,
        flattened: bool,
        min: Option<u32>,
        max: Option<u32>,
    ) -> Kind {
        Kind::List { member, element, flattened, min, max }
    }

    pub(super) const fn map(key: &'static Shape, value: &'static Shape, min: Option<u32>, max: Option<u32>) -> Kind {
        Kind::Map { key, value, min, max }
    }

    pub(super) const fn text(
        min: Option<u32>,
        max: Option<u32>,
        pattern: Option<&'static Pattern>,
        values: &'static [&'static str],
    ) -> Kind {
        Kind::String { min, max, pattern, values }
    }

    pub(super) const fn blob(min: Option<u32>, max: Option<u32>) -> Kind {
        Kind::Blob { min, max }
    }
}
