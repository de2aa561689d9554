//! The one place with rustls: server and client configurations and their verifiers.
