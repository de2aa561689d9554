//! Client devices of a core: local broker, certificates, policies.
