//! MQTT 3.1.1 and 5: strict packets and session machines, no I/O.
