//! Credentials for components: the container credentials endpoint and its upstream.
