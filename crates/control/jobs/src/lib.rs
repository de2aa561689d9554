//! Jobs of the control plane: operations, device side, MQTT topics.
