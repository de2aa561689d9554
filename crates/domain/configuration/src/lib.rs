//! The configuration tree: timestamps per leaf, merge and reset, provenance.
