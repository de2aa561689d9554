//! HTTP server and client on hyper, with limits.
