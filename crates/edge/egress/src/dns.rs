//! Just enough of DNS for a resolver that knows its answers: one question, one address (RFC 1035 4).
//!
//! Strict: a message with anything but one plain question is refused, names are compared without compression, nothing is
//! looked at behind the question, so that an answer takes time and room in the size of the question.

use std::net::Ipv4Addr;

use smol_str::SmolStr;

use marram_reach::{is_name, normal};

/// Bytes of the header.
const HEADER: usize = 12;
/// Bytes of the question's type and class.
const TAIL: usize = 4;
/// Bytes of a name with the lengths of its labels (RFC 1035 3.1).
const NAME_MAX_BYTES: usize = 255;
/// Bytes of one address record that points to the question's name.
const RECORD: usize = 16;
/// Longest reply.
pub(crate) const REPLY_MAX_BYTES: usize = HEADER + NAME_MAX_BYTES + TAIL + RECORD;
/// Longest message that is looked at; resolvers send little more than the question.
pub(crate) const MESSAGE_MAX_BYTES: usize = 512;

/// Seconds that an address may be remembered; it stays the same as long as the component lives.
const TTL_SECS: u32 = 60;

const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
/// Flags: answer, authoritative; the wish for recursion is told back; recursion is there.
const QR_AA: u16 = 0x8400;
const RD: u16 = 0x0100;
const RA: u16 = 0x0080;
const OPCODE: u16 = 0x7800;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// In lower case, without the root's dot.
    pub(crate) name: SmolStr,
    /// Whether an IPv4 address is asked for.
    pub(crate) wants_address: bool,
    /// Where the question ends.
    end: usize,
}

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This one.
    Address(Ipv4Addr),
    /// The name is there, but nothing of the kind asked for.
    Nothing,
    /// There is no such name.
    NoName,
    /// No answer can be given now.
    Failure,
}

/// Why a message is not answered as a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not even a header, or an answer: silence.
    Silent,
    /// A header, but no question that could be read.
    Refused,
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

/// Reads the question of a message.
pub(crate) fn question(message: &[u8]) -> Result<Question, Malformed> {
    let flags = word(message, 2).filter(|_| message.len() >= HEADER).ok_or(Malformed::Silent)?;
    if flags & 0x8000 != 0 {
        return Err(Malformed::Silent);
    }
    let asked = || {
        if flags & OPCODE != 0 || word(message, 4)? != 1 || word(message, 6)? != 0 || word(message, 8)? != 0 {
            return None;
        }
        let (mut at, mut name) = (HEADER, String::new());
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // Longer ones are pointers; there is nothing before a question to point to.
            if length > 63 || at + length - HEADER >= NAME_MAX_BYTES {
                return None;
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(std::str::from_utf8(message.get(at..at + length)?).ok()?);
            at += length;
        }
        let (kind, class) = (word(message, at)?, word(message, at + 2)?);
        // A label with a dot in it would be read as two.
        let labels = message[HEADER..at].iter();
        let name = normal(&name);
        let is_plain = is_name(&name) && labels.filter(|byte| **byte == b'.').count() == 0;
        (is_plain && class == CLASS_IN).then_some(Question { name, wants_address: kind == TYPE_A, end: at + TAIL })
    };
    asked().ok_or(Malformed::Refused)
}

/// The reply to a message whose header can be read; without a question it says so.
pub(crate) fn reply(message: &[u8], question: Option<&Question>, answer: Answer) -> Vec<u8> {
    let mut reply = Vec::with_capacity(REPLY_MAX_BYTES);
    let flags = word(message, 2).unwrap_or_default();
    reply.extend(message.iter().take(2));
    let code = match (question, answer) {
        (None, _) => 5,
        (_, Answer::Failure) => 2,
        (_, Answer::NoName) => 3,
        _ => 0,
    };
    reply.extend((QR_AA | RA | (flags & (RD | OPCODE)) | code).to_be_bytes());
    let address = match answer {
        Answer::Address(address) => question.map(|_| address),
        _ => None,
    };
    for count in [u16::from(question.is_some()), u16::from(address.is_some()), 0, 0] {
        reply.extend(count.to_be_bytes());
    }
    if let Some(question) = question {
        reply.extend(message.get(HEADER..question.end).unwrap_or_default());
    }
    if let Some(address) = address {
        // The name is where the question has it.
        reply.extend([0xC0, HEADER as u8]);
        reply.extend(TYPE_A.to_be_bytes());
        reply.extend(CLASS_IN.to_be_bytes());
        reply.extend(TTL_SECS.to_be_bytes());
        reply.extend(4u16.to_be_bytes());
        reply.extend(address.octets());
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(labels: &[&[u8]], kind: u16, class: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            message.push(label.len() as u8);
            message.extend(*label);
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend(class.to_be_bytes());
        message
    }

    /// RFC 1035 4.1: a question and its answer, byte by byte.
    #[test]
    fn a_question_is_answered() {
        let message = asked(&[b"Api", b"vendor", b"com"], TYPE_A, 1);
        let question = question(&message).unwrap();
        assert_eq!((question.name.as_str(), question.wants_address), ("api.vendor.com", true));
        let reply = reply(&message, Some(&question), Answer::Address(Ipv4Addr::new(198, 18, 1, 2)));
        assert_eq!(reply[..12], [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(reply[12..message.len()], message[12..]);
        assert_eq!(reply[message.len()..], [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 1, 2]);
    }

    /// SEC-132: whatever is not one plain question is refused; what is no question at all gets no answer.
    #[test]
    fn anything_else_is_refused() {
        let good = asked(&[b"a", b"b"], TYPE_A, 1);
        let changed = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            message
        };
        let long: Vec<&[u8]> = vec![&[b'a'; 63]; 4];
        for (message, expected) in [
            (good[..11].to_vec(), Malformed::Silent),
            (changed(2, 0x81), Malformed::Silent),
            (changed(2, 0x28), Malformed::Refused),
            (changed(5, 2), Malformed::Refused),
            (changed(7, 1), Malformed::Refused),
            (changed(12, 0xC0), Malformed::Refused),
            (good[..good.len() - 1].to_vec(), Malformed::Refused),
            (asked(&[b"a.b"], TYPE_A, 1), Malformed::Refused),
            (asked(&[b"a b"], TYPE_A, 1), Malformed::Refused),
            (asked(&[], TYPE_A, 1), Malformed::Refused),
            (asked(&[b"a"], TYPE_A, 3), Malformed::Refused),
            (asked(&long, TYPE_A, 1), Malformed::Refused),
        ] {
            assert_eq!(question(&message), Err(expected), "{message:x?}");
        }
        assert_eq!(reply(&changed(5, 2), None, Answer::Failure), [0x12, 0x34, 0x85, 0x85, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
