//! Payloads of devices: the bytes of a message as a value of each type, alone and as a list.

use marram_expr::{DataType, Primitive, PropertyType, Value, decode_payload};

/// A list is taken as a list, and whatever is taken can be written as JSON.
pub fn run(data: &[u8]) {
    for (primitive, _) in Primitive::ALL {
        let property = PropertyType::built_in(DataType::from(primitive));
        for is_list in [false, true] {
            let Ok(value) = decode_payload(data, &property, is_list) else { continue };
            assert!(!is_list || matches!(value, Value::List(_) | Value::Null), "{primitive}: {value:?} is no list");
            let _ = value.to_json_string();
        }
    }
}
