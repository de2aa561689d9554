//! The two services: tables from operation to function.

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, Service};
use serde_json::Value;

use crate::{event, filter, group, metric, stream};

/// The `logs` service.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogsService;

/// The `cloudwatch` service.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsService;

macro_rules! service {
    ($type:ty, $id:expr, $($name:literal => $function:path,)*) => {
        impl Service for $type {
            fn id(&self) -> ServiceId {
                $id
            }

            fn call<'a>(
                &'a self,
                ctx: &'a CallContext,
                operation: &'static Operation,
                input: Value,
            ) -> BoxFuture<'a, Result<Value, ApiError>> {
                match operation.name {
                    $($name => Box::pin($function(ctx, input)),)*
                    other => Box::pin(std::future::ready(Err(ApiError::not_supported(other)))),
                }
            }
        }
    };
}

service! {
    LogsService, ServiceId::Logs,
    "CreateLogGroup" => group::create,
    "DescribeLogGroups" => group::describe,
    "DeleteLogGroup" => group::delete,
    "PutRetentionPolicy" => group::put_retention,
    "DeleteRetentionPolicy" => group::delete_retention,
    "CreateLogStream" => stream::create,
    "DescribeLogStreams" => stream::describe,
    "DeleteLogStream" => stream::delete,
    "PutLogEvents" => event::put,
    "GetLogEvents" => event::get,
    "FilterLogEvents" => filter::filter,
}

service! {
    MetricsService, ServiceId::CloudWatch,
    "PutMetricData" => metric::put,
    "GetMetricStatistics" => metric::statistics,
    "GetMetricData" => metric::data,
    "ListMetrics" => metric::list,
}
