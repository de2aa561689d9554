//! AWS event-stream frames and the IPC remote procedure calls on them, without I/O.
