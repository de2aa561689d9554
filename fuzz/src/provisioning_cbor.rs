//! Bodies of provisioning requests in CBOR.

use marram_provisioning::{from_cbor, to_cbor};
use serde_json::Value;

/// What can be read is written again and read as the same.
pub fn run(data: &[u8]) {
    let Ok(members) = from_cbor(data) else { return };
    let value = Value::Object(members);
    let written = to_cbor(&value);
    assert_eq!(from_cbor(&written).map(Value::Object), Ok(value));
}
