//! Component lifecycles, their dependencies, and the durable configuration of a core.
