//! Fleet provisioning: templates, claims, just-in-time registration.
