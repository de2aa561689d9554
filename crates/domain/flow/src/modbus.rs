//! Values as Modbus coils and registers (TG 10.3): big-endian, most significant register first.

use marram_expr::{DataType, Value};

use crate::fault::{self, Fault};
use crate::program::ModbusFunction;
use crate::request::ModbusPdu;

/// Most coils one read may ask for (Modbus Application Protocol 1.1b3, 6.1).
const MAX_READ_COILS: u16 = 2_000;
/// Most registers one read may ask for (6.3).
const MAX_READ_REGISTERS: u16 = 125;
/// Most coils one write may carry (6.11).
const MAX_WRITE_COILS: usize = 1_968;
/// Most registers one write may carry (6.12).
const MAX_WRITE_REGISTERS: usize = 123;
/// Most registers a combined read and write may carry (6.17).
const MAX_READ_WRITE_REGISTERS: usize = 121;

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(fault::REQUEST_INVALID, message)
}

/// The request of `function`. `values` are its evaluated params, `returns` the property a read fills.
pub(crate) fn pdu(
    function: ModbusFunction,
    values: &[(&str, Value)],
    returns: Option<&DataType>,
) -> Result<ModbusPdu, Fault> {
    use ModbusFunction as F;
    let coils = |count: Option<u16>| read_count(count, returns.map_or(Ok(1), coils_needed)?, MAX_READ_COILS);
    let registers =
        |count: Option<u16>| read_count(count, returns.map_or(Ok(1), registers_needed)?, MAX_READ_REGISTERS);
    let only = || match values {
        [(_, value)] => Ok(value),
        _ => Err(invalid(format!("a Modbus write takes one value, {} given", values.len()))),
    };
    Ok(match function {
        F::ReadCoils { address, count } => ModbusPdu::ReadCoils(address, coils(count)?),
        F::ReadDiscreteInputs { address, count } => ModbusPdu::ReadDiscreteInputs(address, coils(count)?),
        F::ReadHoldingRegisters { address, count } => ModbusPdu::ReadHoldingRegisters(address, registers(count)?),
        F::ReadInputRegisters { address, count } => ModbusPdu::ReadInputRegisters(address, registers(count)?),
        F::WriteSingleCoil { address } => match to_coils(only()?)?.as_slice() {
            [bit] => ModbusPdu::WriteSingleCoil(address, *bit),
            bits => return Err(invalid(format!("WriteSingleCoil writes one coil, the value takes {}", bits.len()))),
        },
        F::WriteSingleRegister { address } => match to_registers(only()?)?.as_slice() {
            [word] => ModbusPdu::WriteSingleRegister(address, *word),
            words => {
                let message = format!("WriteSingleRegister writes one register, the value takes {}", words.len());
                return Err(invalid(message));
            }
        },
        F::WriteMultipleCoils { address, count } => {
            let bits = to_coils(only()?)?;
            write_count(bits.len(), count, MAX_WRITE_COILS)?;
            ModbusPdu::WriteMultipleCoils(address, bits)
        }
        F::WriteMultipleRegisters { address, count } => {
            let words = to_registers(only()?)?;
            write_count(words.len(), count, MAX_WRITE_REGISTERS)?;
            ModbusPdu::WriteMultipleRegisters(address, words)
        }
        F::MaskWriteRegister { address } => {
            ModbusPdu::MaskWriteRegister(address, mask(values, "and_mask")?, mask(values, "or_mask")?)
        }
        F::ReadWriteMultipleRegisters { read_address, read_count, write_address } => {
            let words = to_registers(only()?)?;
            write_count(words.len(), None, MAX_READ_WRITE_REGISTERS)?;
            ModbusPdu::ReadWriteMultipleRegisters(read_address, registers(read_count)?, write_address, words)
        }
    })
}

fn read_count(given: Option<u16>, needed: u16, most: u16) -> Result<u16, Fault> {
    let count = given.unwrap_or(needed);
    if count == 0 || count > most {
        return Err(invalid(format!("ReadCount {count} is outside 1..={most}")));
    }
    if count < needed {
        return Err(invalid(format!("ReadCount {count} is less than the {needed} the result needs")));
    }
    Ok(count)
}

fn write_count(taken: usize, given: Option<u16>, most: usize) -> Result<(), Fault> {
    match given {
        Some(count) if usize::from(count) != taken => {
            Err(invalid(format!("WriteCount is {count}, the value takes {taken}")))
        }
        _ if taken == 0 || taken > most => Err(invalid(format!("the value takes {taken}, allowed are 1..={most}"))),
        _ => Ok(()),
    }
}

fn mask(values: &[(&str, Value)], name: &str) -> Result<u16, Fault> {
    let (_, value) = values
        .iter()
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .ok_or_else(|| invalid(format!("MaskWriteRegister needs `{name}`")))?;
    let number = value.as_i128().ok_or_else(|| invalid(format!("`{name}` is no integer")))?;
    // A mask may be written as Int16 or UInt16: the bits count.
    u16::try_from(number)
        .or_else(|_| i16::try_from(number).map(i16::cast_unsigned))
        .map_err(|_| invalid(format!("`{name}` does not fit 16 bits")))
}

/// Coils a value of `data_type` fills; lists have no size of their own and count as one element.
fn coils_needed(data_type: &DataType) -> Result<u16, Fault> {
    match data_type {
        DataType::List(item) => coils_needed(item),
        DataType::Boolean => Ok(1),
        other if other.is_integer() => Ok(1),
        other => Err(no_encoding(&other.to_string())),
    }
}

/// Registers a value of `data_type` fills; strings and lists have no size of their own and count as one element.
pub(crate) fn registers_needed(data_type: &DataType) -> Result<u16, Fault> {
    Ok(match data_type {
        DataType::Boolean | DataType::Int8 | DataType::UInt8 | DataType::Int16 | DataType::UInt16 => 1,
        DataType::Int32 | DataType::UInt32 | DataType::Float32 => 2,
        DataType::Int64 | DataType::UInt64 | DataType::Float64 => 4,
        DataType::String => 1,
        DataType::List(item) => match &**item {
            DataType::String | DataType::List(_) => return Err(no_encoding(&data_type.to_string())),
            item => registers_needed(item)?,
        },
        other => return Err(no_encoding(&other.to_string())),
    })
}

fn no_encoding(type_name: &str) -> Fault {
    invalid(format!("{type_name} has no Modbus encoding"))
}

/// The coils of a value: Boolean, integer (zero is 0), or a list of them.
pub(crate) fn to_coils(value: &Value) -> Result<Vec<bool>, Fault> {
    match value {
        Value::Bool(bit) => Ok(vec![*bit]),
        Value::List(items) => {
            let mut bits = Vec::with_capacity(items.len());
            for item in items.iter() {
                bits.extend(to_coils(item)?);
            }
            Ok(bits)
        }
        other => match other.as_i128() {
            Some(number) => Ok(vec![number != 0]),
            None => Err(no_encoding(other.type_name())),
        },
    }
}

/// The registers of a value.
pub(crate) fn to_registers(value: &Value) -> Result<Vec<u16>, Fault> {
    let Value::List(items) = value else {
        return match value {
            Value::Int8(_) | Value::UInt8(_) => Ok(pack_bytes(&[byte(value)?])),
            Value::String(text) => Ok(pack_bytes(text.as_bytes())),
            single => scalar_registers(single),
        };
    };
    if items.iter().all(|item| matches!(item, Value::Int8(_) | Value::UInt8(_))) {
        return Ok(pack_bytes(&items.iter().map(byte).collect::<Result<Vec<_>, _>>()?));
    }
    let mut words = Vec::with_capacity(items.len());
    for item in items.iter() {
        match item {
            Value::String(_) | Value::List(_) => return Err(no_encoding(&format!("a list of {}", item.type_name()))),
            item => words.extend(scalar_registers(item)?),
        }
    }
    Ok(words)
}

fn byte(value: &Value) -> Result<u8, Fault> {
    match value {
        Value::Int8(n) => Ok(n.cast_unsigned()),
        Value::UInt8(n) => Ok(*n),
        other => Err(no_encoding(other.type_name())),
    }
}

/// Two bytes per register, first in the high byte; an odd count leaves the last low byte 0.
fn pack_bytes(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])).collect()
}

fn scalar_registers(value: &Value) -> Result<Vec<u16>, Fault> {
    let words = |bytes: &[u8]| pack_bytes(bytes);
    Ok(match value {
        Value::Bool(bit) => vec![u16::from(*bit)],
        Value::Int8(_) | Value::UInt8(_) => pack_bytes(&[byte(value)?]),
        Value::Int16(n) => vec![n.cast_unsigned()],
        Value::UInt16(n) => vec![*n],
        Value::Int32(n) => words(&n.to_be_bytes()),
        Value::UInt32(n) => words(&n.to_be_bytes()),
        Value::Int64(n) => words(&n.to_be_bytes()),
        Value::UInt64(n) => words(&n.to_be_bytes()),
        Value::Float32(n) => words(&n.to_be_bytes()),
        Value::Float64(n) => words(&n.to_be_bytes()),
        other => return Err(no_encoding(other.type_name())),
    })
}

/// The value of `bits` as `data_type`.
pub(crate) fn from_coils(bits: &[bool], data_type: &DataType) -> Result<Value, Fault> {
    let one = |bit: bool, data_type: &DataType| match data_type {
        DataType::Boolean => Ok(Value::Bool(bit)),
        other if other.is_integer() => integer(i128::from(u8::from(bit)), other),
        other => Err(undecodable(&other.to_string(), bits.len())),
    };
    match data_type {
        DataType::List(item) => Ok(Value::list(bits.iter().map(|&bit| one(bit, item)).collect::<Result<_, _>>()?)),
        DataType::Json => Ok(Value::list(bits.iter().copied().map(Value::Bool).collect())),
        single => match bits {
            [bit, ..] => one(*bit, single),
            [] => Err(undecodable(&single.to_string(), 0)),
        },
    }
}

/// The value of `words` as `data_type`.
pub(crate) fn from_registers(words: &[u16], data_type: &DataType) -> Result<Value, Fault> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    match data_type {
        DataType::String => {
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| Fault::new(fault::PAYLOAD_INVALID, "registers hold no UTF-8 text"))?;
            Ok(Value::string(text.trim_end_matches('\0')))
        }
        DataType::Json => Ok(Value::list(words.iter().map(|&word| Value::UInt16(word)).collect())),
        DataType::List(item) => match &**item {
            DataType::Int8 => Ok(Value::list(bytes.iter().map(|&byte| Value::Int8(byte.cast_signed())).collect())),
            DataType::UInt8 => Ok(Value::list(bytes.iter().map(|&byte| Value::UInt8(byte)).collect())),
            item => {
                let size = usize::from(registers_needed(item)?) * 2;
                let items = bytes.chunks_exact(size).map(|chunk| scalar(chunk, item)).collect::<Result<_, _>>()?;
                Ok(Value::list(items))
            }
        },
        single => scalar(&bytes, single),
    }
}

fn scalar(bytes: &[u8], data_type: &DataType) -> Result<Value, Fault> {
    fn head<const N: usize>(bytes: &[u8], data_type: &DataType) -> Result<[u8; N], Fault> {
        bytes.first_chunk::<N>().copied().ok_or_else(|| undecodable(&data_type.to_string(), bytes.len() / 2))
    }
    Ok(match data_type {
        DataType::Boolean => Value::Bool(head::<2>(bytes, data_type)? != [0, 0]),
        DataType::Int8 => Value::Int8(i8::from_be_bytes(head(bytes, data_type)?)),
        DataType::UInt8 => Value::UInt8(u8::from_be_bytes(head(bytes, data_type)?)),
        DataType::Int16 => Value::Int16(i16::from_be_bytes(head(bytes, data_type)?)),
        DataType::UInt16 => Value::UInt16(u16::from_be_bytes(head(bytes, data_type)?)),
        DataType::Int32 => Value::Int32(i32::from_be_bytes(head(bytes, data_type)?)),
        DataType::UInt32 => Value::UInt32(u32::from_be_bytes(head(bytes, data_type)?)),
        DataType::Int64 => Value::Int64(i64::from_be_bytes(head(bytes, data_type)?)),
        DataType::UInt64 => Value::UInt64(u64::from_be_bytes(head(bytes, data_type)?)),
        DataType::Float32 => Value::Float32(f32::from_be_bytes(head(bytes, data_type)?)),
        DataType::Float64 => Value::Float64(f64::from_be_bytes(head(bytes, data_type)?)),
        other => return Err(undecodable(&other.to_string(), bytes.len() / 2)),
    })
}

fn undecodable(type_name: &str, count: usize) -> Fault {
    Fault::new(fault::PAYLOAD_INVALID, format!("{count} coils or registers make no {type_name}"))
}

/// A value of an integer type; 0 and 1 fit all of them.
fn integer(number: i128, data_type: &DataType) -> Result<Value, Fault> {
    let small = i8::try_from(number).map_err(|_| undecodable(&data_type.to_string(), 1))?;
    Ok(match data_type {
        DataType::Int8 => Value::Int8(small),
        DataType::Int16 => Value::Int16(small.into()),
        DataType::Int32 => Value::Int32(small.into()),
        DataType::Int64 => Value::Int64(small.into()),
        DataType::UInt8 => Value::UInt8(small.cast_unsigned()),
        DataType::UInt16 => Value::UInt16(small.cast_unsigned().into()),
        DataType::UInt32 => Value::UInt32(small.cast_unsigned().into()),
        _ => Value::UInt64(small.cast_unsigned().into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[Value]) -> Value {
        Value::list(items.to_vec())
    }

    /// A number of the table as it is written there: not the constant it resembles.
    fn written<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    /// TG 10.3: the register table, both directions.
    #[test]
    fn registers_match_the_table() {
        use DataType as T;
        let table: Vec<(Value, DataType, Vec<u16>)> = vec![
            (Value::Bool(true), T::Boolean, vec![0x0001]),
            (
                list(&[Value::Bool(true), Value::Bool(true), Value::Bool(false)]),
                T::List(Box::new(T::Boolean)),
                vec![1, 1, 0],
            ),
            (Value::Int8(1), T::Int8, vec![0x0100]),
            (Value::Int8(-2), T::Int8, vec![0xFE00]),
            (list(&[Value::UInt8(14), Value::UInt8(7)]), T::List(Box::new(T::UInt8)), vec![0x0E07]),
            (list(&[Value::Int16(17), Value::Int16(1)]), T::List(Box::new(T::Int16)), vec![0x0011, 0x0001]),
            (Value::Int16(-1), T::Int16, vec![0xFFFF]),
            (
                list(&[Value::Int32(0x0012_3400), Value::Int32(0x00F0)]),
                T::List(Box::new(T::Int32)),
                vec![0x0012, 0x3400, 0x0000, 0x00F0],
            ),
            (Value::Int64(0x1122_3344), T::Int64, vec![0, 0, 0x1122, 0x3344]),
            (Value::UInt64(u64::MAX), T::UInt64, vec![0xFFFF; 4]),
            (Value::Float32(written("3.14159")), T::Float32, vec![0x4049, 0x0FD0]),
            (Value::Float32(written("2.71828")), T::Float32, vec![0x402D, 0xF84D]),
            (Value::Float64(written("3.14159")), T::Float64, vec![0x4009, 0x21F9, 0xF01B, 0x866E]),
            (Value::string("hello"), T::String, vec![0x6865, 0x6C6C, 0x6F00]),
        ];
        for (value, data_type, words) in table {
            assert_eq!(to_registers(&value).unwrap(), words, "{value:?}");
            assert_eq!(from_registers(&words, &data_type).unwrap(), value);
        }
        let odd = list(&[Value::Int8(3), Value::Int8(5), Value::Int8(4)]);
        assert_eq!(to_registers(&odd).unwrap(), [0x0305, 0x0400]);
        assert_eq!(from_registers(&[0x00FF], &T::Boolean).unwrap(), Value::Bool(true));
    }

    /// TG 10.3: coils take Booleans and integers, alone or in lists.
    #[test]
    fn coils_take_booleans_and_integers() {
        assert_eq!(to_coils(&Value::Int16(5)).unwrap(), [true]);
        assert_eq!(to_coils(&list(&[Value::Bool(true), Value::Int32(0)])).unwrap(), [true, false]);
        assert_eq!(from_coils(&[true], &DataType::UInt16).unwrap(), Value::UInt16(1));
        assert_eq!(
            from_coils(&[true, false], &DataType::List(Box::new(DataType::Boolean))).unwrap(),
            list(&[Value::Bool(true), Value::Bool(false)])
        );
        assert_eq!(to_coils(&Value::string("on")).unwrap_err().name, fault::REQUEST_INVALID);
    }

    /// TG 10.3: counts default to what the value needs and must agree when given.
    #[test]
    fn counts_are_checked() {
        use ModbusFunction as F;
        let int32 = DataType::Int32;
        let read = |count| pdu(F::ReadInputRegisters { address: 7, count }, &[], Some(&int32));
        assert_eq!(read(None).unwrap(), ModbusPdu::ReadInputRegisters(7, 2));
        assert_eq!(read(Some(4)).unwrap(), ModbusPdu::ReadInputRegisters(7, 4));
        assert_eq!(read(Some(1)).unwrap_err().name, fault::REQUEST_INVALID);
        assert_eq!(read(Some(126)).unwrap_err().name, fault::REQUEST_INVALID);
        let write = |count| pdu(F::WriteMultipleRegisters { address: 201, count }, &[("v", Value::Int32(1))], None);
        assert_eq!(write(Some(2)).unwrap(), ModbusPdu::WriteMultipleRegisters(201, vec![0, 1]));
        assert_eq!(write(Some(1)).unwrap_err().name, fault::REQUEST_INVALID);
        let wide = pdu(F::WriteSingleRegister { address: 1 }, &[("v", Value::Int32(1))], None);
        assert_eq!(wide.unwrap_err().name, fault::REQUEST_INVALID);
        let masks = [("and_mask", Value::Int32(0xF2)), ("or_mask", Value::Int16(-1))];
        assert_eq!(
            pdu(F::MaskWriteRegister { address: 4 }, &masks, None).unwrap(),
            ModbusPdu::MaskWriteRegister(4, 0xF2, 0xFFFF)
        );
    }
}
