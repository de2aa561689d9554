//! Fleet status and telemetry reports of a core.
