//! Words everybody shares: ARNs, names, ids, topics, timestamps, secrets.
