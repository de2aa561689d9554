//! Semantic versions and npm ranges.
