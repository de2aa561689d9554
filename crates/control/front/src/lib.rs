//! The API front door: TLS listener to SigV4 identity to routed operation to response.
