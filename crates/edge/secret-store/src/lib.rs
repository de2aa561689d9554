//! Secrets kept on a core, sealed with its device key.
