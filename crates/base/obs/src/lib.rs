//! Telemetry: metric registry and names, log set-up.
