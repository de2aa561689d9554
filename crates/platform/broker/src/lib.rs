//! The message broker: sessions, routing, retained messages, authorization port.
