//! MQTT over sockets: listener and client drivers.
