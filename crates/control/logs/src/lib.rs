//! Log groups, log events and metrics that cores send.
