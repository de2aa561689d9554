//! What a service of the control floor offers the front door.

use std::future::Future;
use std::pin::Pin;

use marram_aws_api::{ApiError, Operation, ServiceId};
use serde_json::Value;

use crate::context::CallContext;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A service: answers the operations of one table.
pub trait Service: Send + Sync {
    /// Which table it answers.
    fn id(&self) -> ServiceId;

    /// Whether it answers this operation of its table. Several services share one table (`iot`: the registry, jobs,
    /// provisioning); the first that offers an operation gets the call.
    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == self.id()
    }

    /// Runs one operation. `input` is the decoded request, keyed by member name, its constraints already checked; the
    /// answer is keyed by member name too. Operations it does not offer answer [`ApiError::not_supported`].
    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>>;
}

/// Declares which operations a service answers and with which functions: `operations! { Service, Input; "Name" => path, .. }`
/// makes `OFFERED` (their names) and `answer(service, ctx, name, input)`, which refuses any other name as not supported.
#[macro_export]
macro_rules! operations {
    ($service:ty, $input:ty; $($name:literal => $function:path,)*) => {
        /// Names of the operations that are answered here.
        const OFFERED: &[&str] = &[$($name),*];

        fn answer<'a>(
            service: &'a $service,
            ctx: &'a $crate::CallContext,
            name: &str,
            input: $input,
        ) -> $crate::BoxFuture<'a, Result<::serde_json::Value, ::marram_aws_api::ApiError>> {
            match name {
                $($name => Box::pin($function(service, ctx, input)),)*
                other => Box::pin(::std::future::ready(Err(::marram_aws_api::ApiError::not_supported(other)))),
            }
        }
    };
}
