//! Device shadows of the control plane: HTTP and MQTT.
