//! What Modbus servers answer, over TCP and over a serial line.

use std::cell::RefCell;

use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_all().build().expect("a runtime of one thread"));
}

/// The first byte chooses framing and request, the rest is what comes back.
pub fn run(data: &[u8]) {
    RUNTIME.with_borrow(|runtime| runtime.block_on(marram_flow_runtime::fuzz_modbus_answer(data)));
}
