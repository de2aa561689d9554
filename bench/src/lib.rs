//! Benchmarks: one JSON line per result, each can be pointed at a peer.
