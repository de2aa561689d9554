//! Device shadows kept on a core.
