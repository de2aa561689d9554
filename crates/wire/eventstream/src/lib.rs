//! AWS event-stream frames and the IPC remote procedure calls on them, without I/O (CR 6.2 to 6.5).
//!
//! * [`frame`]: a strict decoder that hands out views of the caller's buffer, and the writer.
//! * [`header`]: the ten header types.
//! * [`rpc`]: message types, flags, the protocol headers; prepared frames that only need a stream id.
//! * [`server`] and [`client`]: what each end may say next.

pub mod client;
pub mod frame;
pub mod header;
pub mod rpc;
pub mod server;

pub use frame::{Frame, FrameError, MAX_HEADERS, MAX_MESSAGE, Message, decode};
pub use header::{HeaderError, Headers, Value};
pub use rpc::{FLAG_CONNECTION_ACCEPTED, FLAG_TERMINATE_STREAM, MessageType, RpcError, RpcFrame, Template};
