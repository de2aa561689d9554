//! Device shadows: merge, delta, versions, metadata.
