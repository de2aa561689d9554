//! Counters of the broker (CP 10.3). Names are upstream's; [`Metrics::snapshot`] lists them.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! metrics {
    ($($field:ident = $name:literal;)*) => {
        /// Counters since the start of the process; relaxed, so a snapshot may be a few events apart.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = concat!("`", $name, "`")] pub $field: Counter,)*
        }

        impl Metrics {
            /// Name and value of every counter.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field.get()),)*]
            }
        }
    };
}

metrics! {
    connect_success = "Connect.Success";
    connect_auth_error = "Connect.AuthError";
    connect_client_error = "Connect.ClientError";
    connect_client_id_throttle = "Connect.ClientIDThrottle";
    connect_server_error = "Connect.ServerError";
    connect_throttle = "Connect.Throttle";
    ping_success = "Ping.Success";
    publish_in_success = "PublishIn.Success";
    publish_in_auth_error = "PublishIn.AuthError";
    publish_in_client_error = "PublishIn.ClientError";
    publish_in_server_error = "PublishIn.ServerError";
    publish_in_throttle = "PublishIn.Throttle";
    publish_out_success = "PublishOut.Success";
    publish_out_auth_error = "PublishOut.AuthError";
    publish_out_client_error = "PublishOut.ClientError";
    publish_out_throttle = "PublishOut.Throttle";
    publish_retained_success = "PublishRetained.Success";
    publish_retained_auth_error = "PublishRetained.AuthError";
    publish_retained_throttle = "PublishRetained.Throttle";
    subscribe_success = "Subscribe.Success";
    subscribe_auth_error = "Subscribe.AuthError";
    subscribe_client_error = "Subscribe.ClientError";
    unsubscribe_success = "Unsubscribe.Success";
    unsubscribe_client_error = "Unsubscribe.ClientError";
    messages_expired = "Messages.Expired";
    connections = "Connections.Opened";
    disconnects = "Connections.Closed";
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// `count` more; nothing for 0.
    pub fn add(&self, count: u64) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
