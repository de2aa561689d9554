//! What the kernel tells of connections inside that came to nothing: reports of `NETLINK_SOCK_DIAG` about sockets that are
//! destroyed (`struct inet_diag_msg`, `struct tcp_info` of Linux' `uapi`).
//!
//! Only attempts at ports where nobody listens are learned here; the rest passes the forwarder. A kernel without these
//! reports takes nothing away but the count.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_msg`.
const MESSAGE: usize = 72;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The attribute with `struct tcp_info`, and where in it the time of a round trip stands: 0 as long as nobody answered.
const INFO: u16 = 2;
const RTT_AT: usize = 68;
/// The attribute with the protocol.
const PROTOCOL: u16 = 10;
const UDP: u8 = 17;

/// A destination that was tried in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) to: SocketAddr,
    pub(crate) is_udp: bool,
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn whole(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?) as usize)
}

/// The attempts that a packet of reports tells of.
pub(crate) fn attempts(mut packet: &[u8]) -> Vec<Attempt> {
    let mut all = Vec::new();
    while let Some(length) = whole(packet, 0).filter(|length| (HEADER..=packet.len()).contains(length)) {
        all.extend(attempt(&packet[HEADER..length]));
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

fn attempt(message: &[u8]) -> Option<Attempt> {
    let family = *message.first()?;
    let port = u16::from_be_bytes(*message.get(6..)?.first_chunk()?);
    let address = message.get(24..40)?;
    let address = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(*address.first_chunk::<4>()?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(*address.first_chunk::<16>()?)).to_canonical(),
        _ => return None,
    };
    let (mut was_answered, mut is_udp) = (None, false);
    let mut rest = message.get(MESSAGE..)?;
    while let Some(length) = half(rest, 0).map(usize::from).filter(|length| (4..=rest.len()).contains(length)) {
        match half(rest, 2)? {
            INFO => was_answered = whole(&rest[4..length], RTT_AT).map(|rtt| rtt > 0),
            PROTOCOL => is_udp = rest.get(4) == Some(&UDP),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let is_vain = is_udp || was_answered == Some(false);
    (port != 0 && is_vain).then_some(Attempt { to: SocketAddr::new(address, port), is_udp })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(family: u8, port: u16, address: &[u8], attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut message = vec![family, 7, 0, 0, 0xCB, 0x42];
        message.extend(port.to_be_bytes());
        message.extend([0; 16]);
        message.extend(address);
        message.resize(MESSAGE, 0);
        for (kind, value) in attributes {
            message.extend(((value.len() + 4) as u16).to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        let mut packet = ((message.len() + HEADER) as u32).to_ne_bytes().to_vec();
        packet.resize(HEADER, 0);
        packet.extend(message);
        packet
    }

    /// SEC-139: a socket that nobody answered is an attempt, one that talked is none.
    #[test]
    fn vain_attempts_are_told_from_connections() {
        let info = |rtt: u32| {
            let mut info = vec![0; 100];
            info[RTT_AT..RTT_AT + 4].copy_from_slice(&rtt.to_ne_bytes());
            (INFO, info)
        };
        let mapped = [&[0; 10][..], &[255, 255, 10, 0, 0, 9]].concat();
        let packet = [
            report(AF_INET, 22, &[10, 0, 0, 9], &[(5, vec![0]), info(0)]),
            report(AF_INET, 443, &[10, 0, 0, 9], &[info(31)]),
            report(AF_INET6, 23, &mapped, &[info(0)]),
            report(AF_INET, 53, &[8, 8, 8, 8], &[(PROTOCOL, vec![UDP])]),
            report(AF_INET, 0, &[0; 4], &[(PROTOCOL, vec![UDP])]),
        ];
        let found: Vec<_> = attempts(&packet.concat()).iter().map(|one| (one.to.to_string(), one.is_udp)).collect();
        let expected = [("10.0.0.9:22", false), ("10.0.0.9:23", false), ("8.8.8.8:53", true)];
        assert_eq!(found, expected.map(|(to, is_udp)| (to.to_owned(), is_udp)));
    }
}
