//! The line to the control plane: MQTT with a durable spool, HTTPS, proxy.
