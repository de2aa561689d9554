//! Records as bytes. Small and hand-made: a transition costs tens of bytes and no allocation of its own.

use marram_expr::{Object, Value};
use marram_flow::trigger::Watch;
use marram_flow::{Execution, Fault, Input, Origin, Reply, Stage, Time};
use smol_str::SmolStr;

use crate::spec::Deployment;

/// One transition of a deployment's journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A deployment document took over.
    Deploy {
        /// Counts up from 1.
        generation: u32,
        /// When; the anchor of its clock triggers.
        at: Time,
        /// What.
        deployment: Box<Deployment>,
    },
    /// An execution was created and started.
    Create(Create),
    /// An input reached an execution.
    Input {
        /// The execution.
        number: u64,
        /// When.
        at: Time,
        /// What.
        input: Input,
    },
    /// State of a live execution, at the head of a segment.
    Checkpoint {
        /// The execution.
        number: u64,
        /// Generation it runs on.
        generation: u32,
        /// Index of its flow.
        flow: u16,
        /// Its state.
        execution: Box<Execution>,
    },
    /// Last occurrences, at the head of a segment.
    Watch(Box<Watch>),
    /// The head of a segment ends: this segment and later ones say everything. Next execution number.
    Complete {
        /// Number of the next execution.
        next: u64,
    },
    /// The deployment was undeployed.
    Close,
}

/// The creation of an execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    /// Number in the deployment.
    pub number: u64,
    /// Generation it runs on.
    pub generation: u32,
    /// Index of its flow.
    pub flow: u16,
    /// Index of its trigger; `None`: started by hand.
    pub trigger: Option<u16>,
    /// When.
    pub at: Time,
    /// Random part of its id.
    pub uuid: [u8; 16],
    /// Parameters by position, before coercion.
    pub params: Vec<Value>,
}

/// Name of the trigger of an execution started by hand (TG 6.1).
pub const MANUAL: &str = "Manual";

impl Create {
    /// Who the execution is, for the engine.
    pub fn origin(&self, deployment: &Deployment) -> Origin {
        let flow = deployment.snapshot.flows.get(usize::from(self.flow)).map_or("", |flow| &flow.flow.id);
        let trigger = self.trigger.and_then(|index| deployment.snapshot.triggers.get(usize::from(index)));
        let trigger = trigger.map_or(SmolStr::new_static(MANUAL), |trigger| trigger.name.clone());
        let uuid = uuid_text(&self.uuid);
        let id = marram_flow::execution::execution_id(flow, self.at, &trigger, uuid.as_str());
        Origin { id, trigger, params: self.params.clone() }
    }
}

/// The text of a version 4 UUID made of `bytes`.
fn uuid_text(bytes: &[u8; 16]) -> SmolStr {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = *bytes;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut text = [0_u8; 36];
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text[at] = b'-';
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    SmolStr::new(std::str::from_utf8(&text).unwrap_or_default())
}

/// A record that cannot be understood: written by another version, or damaged in a way its checksum does not show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable record: {0}")]
pub struct CodecError(&'static str);

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Deploy { generation, at, deployment } => {
                out.push(1);
                number(out, u64::from(*generation));
                time(out, *at);
                json(out, deployment);
            }
            Self::Create(create) => encode_create(out, create),
            Self::Input { number, at, input } => encode_input(out, *number, *at, input),
            Self::Checkpoint { number: execution_number, generation, flow, execution } => {
                out.push(4);
                number(out, *execution_number);
                number(out, u64::from(*generation));
                number(out, u64::from(*flow));
                json(out, execution);
            }
            Self::Watch(watch) => {
                out.push(5);
                json(out, watch);
            }
            Self::Complete { next } => {
                out.push(6);
                number(out, *next);
            }
            Self::Close => out.push(7),
        }
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// [`CodecError`] for bytes [`Record::encode`] does not make.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader { bytes };
        let record = match reader.byte()? {
            1 => Self::Deploy { generation: reader.small()?, at: reader.time()?, deployment: reader.json()? },
            2 => Self::Create(Create {
                number: reader.number()?,
                generation: reader.small()?,
                flow: reader.small()?,
                trigger: match reader.small::<u32>()? {
                    0 => None,
                    index => Some(u16::try_from(index - 1).map_err(|_| CodecError("trigger"))?),
                },
                at: reader.time()?,
                uuid: *reader.take(16)?.first_chunk().ok_or(CodecError("uuid"))?,
                params: {
                    let count = reader.count()?;
                    (0..count).map(|_| reader.value(0)).collect::<Result<_, _>>()?
                },
            }),
            3 => Self::Input { number: reader.number()?, at: reader.time()?, input: reader.input()? },
            4 => Self::Checkpoint {
                number: reader.number()?,
                generation: reader.small()?,
                flow: reader.small()?,
                execution: reader.json()?,
            },
            5 => Self::Watch(reader.json()?),
            6 => Self::Complete { next: reader.number()? },
            7 => Self::Close,
            _ => return Err(CodecError("kind")),
        };
        if reader.bytes.is_empty() { Ok(record) } else { Err(CodecError("length")) }
    }
}

/// [`Record::Create`] without building the record.
pub fn encode_create(out: &mut Vec<u8>, create: &Create) {
    out.push(2);
    number(out, create.number);
    number(out, u64::from(create.generation));
    number(out, u64::from(create.flow));
    number(out, create.trigger.map_or(0, |index| u64::from(index) + 1));
    time(out, create.at);
    out.extend_from_slice(&create.uuid);
    number(out, create.params.len() as u64);
    create.params.iter().for_each(|param| value(out, param));
}

/// [`Record::Input`] without building the record.
pub fn encode_input(out: &mut Vec<u8>, execution: u64, at: Time, input: &Input) {
    out.push(3);
    number(out, execution);
    time(out, at);
    match input {
        Input::Start => out.push(0),
        Input::Progress { task, stage } => {
            out.push(1);
            number(out, u64::from(*task));
            out.push(match stage {
                Stage::Started => 0,
                Stage::Sent => 1,
                Stage::Accepted => 2,
            });
        }
        Input::Replied { task, reply } => {
            out.push(2);
            number(out, u64::from(*task));
            match reply {
                Reply::Empty => out.push(0),
                Reply::Payload(payload) => {
                    out.push(1);
                    bytes(out, payload);
                }
                Reply::Bits(bits) => {
                    out.push(2);
                    number(out, bits.len() as u64);
                    out.extend(bits.iter().map(|bit| u8::from(*bit)));
                }
                Reply::Registers(words) => {
                    out.push(3);
                    number(out, words.len() as u64);
                    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
                }
                Reply::Http { status, body } => {
                    out.push(4);
                    number(out, u64::from(*status));
                    bytes(out, body);
                }
            }
        }
        Input::Failed { task, fault } => {
            out.push(3);
            number(out, u64::from(*task));
            bytes(out, fault.name.as_bytes());
            bytes(out, fault.message.as_bytes());
        }
        Input::Tick => out.push(4),
        Input::Restarted => out.push(5),
        Input::Abort { reason } => {
            out.push(6);
            bytes(out, reason.as_bytes());
        }
    }
}

/// LEB128.
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn time(out: &mut Vec<u8>, at: Time) {
    out.extend_from_slice(&at.0.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, data: &[u8]) {
    number(out, data.len() as u64);
    out.extend_from_slice(data);
}

fn json<T: serde::Serialize>(out: &mut Vec<u8>, data: &T) {
    serde_json::to_writer(out, data).expect("our own types serialise, and writing to a Vec cannot fail");
}

fn value(out: &mut Vec<u8>, data: &Value) {
    match data {
        Value::Null => out.push(0),
        Value::Bool(false) => out.push(1),
        Value::Bool(true) => out.push(2),
        Value::Int32(n) => {
            out.push(3);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Int64(n) => {
            out.push(4);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Float64(n) => {
            out.push(5);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::String(text) => {
            out.push(6);
            bytes(out, text.as_bytes());
        }
        Value::List(items) => {
            out.push(7);
            number(out, items.len() as u64);
            items.iter().for_each(|item| value(out, item));
        }
        Value::Object(object) => {
            out.push(8);
            number(out, object.len() as u64);
            for (name, member) in object.iter() {
                bytes(out, name.as_bytes());
                value(out, member);
            }
        }
        other => {
            out.push(9);
            let text = serde_json::to_vec(other).expect("our own types serialise");
            bytes(out, &text);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Values nest no deeper: what was journaled came through a parser with a tighter limit.
    const MAX_DEPTH: u32 = 256;

    fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.bytes.split_at_checked(length).ok_or(CodecError("end"))?;
        self.bytes = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.take(N)?.first_chunk().copied().ok_or(CodecError("end"))
    }

    fn number(&mut self) -> Result<u64, CodecError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError("number"))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, CodecError> {
        T::try_from(self.number()?).map_err(|_| CodecError("number"))
    }

    /// A count of items that take at least a byte each, so a damaged one cannot ask for memory.
    fn count(&mut self) -> Result<usize, CodecError> {
        let count: usize = self.small()?;
        if count > self.bytes.len() { Err(CodecError("count")) } else { Ok(count) }
    }

    fn data(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.small()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.data()?).map_err(|_| CodecError("text"))
    }

    fn time(&mut self) -> Result<Time, CodecError> {
        Ok(Time(i64::from_le_bytes(self.array()?)))
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, CodecError> {
        let data = std::mem::take(&mut self.bytes);
        serde_json::from_slice(data).map_err(|_| CodecError("json"))
    }

    fn value(&mut self, depth: u32) -> Result<Value, CodecError> {
        if depth > Self::MAX_DEPTH {
            return Err(CodecError("depth"));
        }
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int32(i32::from_le_bytes(self.array()?)),
            4 => Value::Int64(i64::from_le_bytes(self.array()?)),
            5 => Value::Float64(f64::from_le_bytes(self.array()?)),
            6 => Value::string(self.text()?),
            7 => {
                let count = self.count()?;
                Value::list((0..count).map(|_| self.value(depth + 1)).collect::<Result<_, _>>()?)
            }
            8 => {
                let count = self.count()?;
                let mut object = Object::new();
                for _ in 0..count {
                    let name = SmolStr::new(self.text()?);
                    object.insert(name, self.value(depth + 1)?);
                }
                Value::object(object)
            }
            9 => serde_json::from_slice(self.data()?).map_err(|_| CodecError("value"))?,
            _ => return Err(CodecError("value")),
        })
    }

    fn input(&mut self) -> Result<Input, CodecError> {
        Ok(match self.byte()? {
            0 => Input::Start,
            1 => {
                let task = self.small()?;
                let stage = match self.byte()? {
                    0 => Stage::Started,
                    1 => Stage::Sent,
                    2 => Stage::Accepted,
                    _ => return Err(CodecError("stage")),
                };
                Input::Progress { task, stage }
            }
            2 => {
                let task = self.small()?;
                let reply = match self.byte()? {
                    0 => Reply::Empty,
                    1 => Reply::Payload(self.data()?.to_vec()),
                    2 => {
                        let count = self.count()?;
                        Reply::Bits(self.take(count)?.iter().map(|bit| *bit != 0).collect())
                    }
                    3 => {
                        let count = self.count()?;
                        let words = self.take(count * 2)?.chunks_exact(2);
                        Reply::Registers(words.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
                    }
                    4 => Reply::Http { status: self.small()?, body: self.data()?.to_vec() },
                    _ => return Err(CodecError("reply")),
                };
                Input::Replied { task, reply }
            }
            3 => {
                let task = self.small()?;
                let name = SmolStr::new(self.text()?);
                Input::Failed { task, fault: Fault { name, message: self.text()?.to_owned() } }
            }
            4 => Input::Tick,
            5 => Input::Restarted,
            6 => Input::Abort { reason: SmolStr::new(self.text()?) },
            _ => return Err(CodecError("input")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::Int32),
            any::<i64>().prop_map(Value::Int64),
            any::<u64>().prop_map(Value::UInt64),
            any::<u8>().prop_map(Value::UInt8),
            (-1e9..1e9_f64).prop_map(Value::Float64),
            ".{0,30}".prop_map(|text| Value::string(text.as_str())),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::list),
                prop::collection::vec(("[a-z]{1,6}", inner), 0..4)
                    .prop_map(|members| Value::object(members.into_iter().collect())),
            ]
        })
    }

    fn any_input() -> impl Strategy<Value = Input> {
        let reply = prop_oneof![
            Just(Reply::Empty),
            prop::collection::vec(any::<u8>(), 0..50).prop_map(Reply::Payload),
            prop::collection::vec(any::<bool>(), 0..20).prop_map(Reply::Bits),
            prop::collection::vec(any::<u16>(), 0..20).prop_map(Reply::Registers),
            (any::<u16>(), prop::collection::vec(any::<u8>(), 0..50))
                .prop_map(|(status, body)| Reply::Http { status, body }),
        ];
        let stage = prop_oneof![Just(Stage::Started), Just(Stage::Sent), Just(Stage::Accepted)];
        prop_oneof![
            Just(Input::Start),
            Just(Input::Tick),
            Just(Input::Restarted),
            (any::<u32>(), stage).prop_map(|(task, stage)| Input::Progress { task, stage }),
            (any::<u32>(), reply).prop_map(|(task, reply)| Input::Replied { task, reply }),
            (any::<u32>(), "[A-Za-z.]{0,20}", ".{0,30}")
                .prop_map(|(task, name, message)| Input::Failed { task, fault: Fault::new(name, message) }),
            ".{0,20}".prop_map(|reason| Input::Abort { reason: reason.into() }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// TG 6.8: what is read back is what was written; damage never panics and never reads as something longer.
        #[test]
        fn records_come_back(
            params in prop::collection::vec(any_value(), 0..5),
            input in any_input(),
            number in any::<u64>(),
            at in any::<i64>(),
            damage in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let create = Create {
                number, generation: 7, flow: 3, trigger: (number % 2 == 0).then_some(9), at: Time(at), uuid: [5; 16], params,
            };
            for record in [Record::Create(create), Record::Input { number, at: Time(at), input }, Record::Complete { next: number }] {
                let mut bytes = Vec::new();
                record.encode(&mut bytes);
                prop_assert_eq!(&Record::decode(&bytes).unwrap(), &record);
                for cut in 0..bytes.len() {
                    prop_assert!(Record::decode(&bytes[..cut]).is_err());
                }
                let at = damage.0.index(bytes.len());
                bytes[at] = damage.1;
                let _ = Record::decode(&bytes);
            }
        }
    }

    /// TG 6.1: the id ends in a version 4 UUID.
    #[test]
    fn uuid_is_version_4() {
        assert_eq!(uuid_text(&[0xFF; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid_text(&[0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
