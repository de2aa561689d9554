//! Flows on a core: the flow component and its snapshots.
