//! Runs flows: journal, timers, connectors for MQTT, Modbus TCP and HTTP.
