//! Jobs: targets, executions, transitions, timers.
