//! Whose sockets are connected to ours: on this machine the other end is in the kernel's tables, with its user.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Tables of this network namespace: the second one holds sockets that speak both protocols, too.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// Users by the address of their socket, of all that are connected to `own`. Empty where the system does not tell.
pub(crate) fn users(own: SocketAddr) -> HashMap<SocketAddr, u32> {
    let mut all = HashMap::new();
    for table in TABLES {
        // A machine without the protocol has no table of it.
        let text = std::fs::read_to_string(table).unwrap_or_default();
        all.extend(
            text.lines().filter_map(row).filter(|(_, remote, _)| *remote == own).map(|(at, _, user)| (at, user)),
        );
    }
    all
}

/// Both ends and the user of a row. None for one that nobody holds any more: the kernel shows such a socket as root's.
fn row(line: &str) -> Option<(SocketAddr, SocketAddr, u32)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let user = fields.nth(4)?.parse().ok()?;
    let inode = fields.nth(1)?;
    (inode != "0").then_some((local, remote, user))
}

/// `0100007F:05A1`: words of four bytes as this machine's processor has them, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match host.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Rows as Linux prints them on a little-endian machine; one that nobody holds is nobody's.
    #[test]
    #[cfg(target_endian = "little")]
    fn rows_are_read() {
        let row_of = |text: &str| row(text).map(|(at, to, user)| (at.to_string(), to.to_string(), user));
        let told = |at: &str, to: &str, user: u32| Some((at.to_owned(), to.to_owned(), user));
        #[rustfmt::skip]
        let table = [
            ("   1: 0100007F:A3D2 0100007F:05A1 01 00000000:00000000 00:00000000 00000000 60001        0 48213 1 0000000000000000 20 4 30 10 -1",
                told("127.0.0.1:41938", "127.0.0.1:1441", 60_001)),
            ("   0: 00000000000000000000000001000000:A3D2 00000000000000000000000001000000:05A1 01 00000000:00000000 00:00000000 00000000     0        0 9 1 0",
                told("[::1]:41938", "[::1]:1441", 0)),
            ("   0: 0000000000000000FFFF00000100007F:A3D2 0000000000000000FFFF00000100007F:05A1 01 00000000:00000000 00:00000000 00000000     7        0 9 1 0",
                told("127.0.0.1:41938", "127.0.0.1:1441", 7)),
            ("   1: 0100007F:A3D2 0100007F:05A1 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000", None),
            ("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(row_of(text), expected, "{text}");
        }
    }

    /// The other end of a connection to us is ours here.
    #[test]
    fn the_other_end_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let own = std::fs::metadata("/proc/self").unwrap().uid();
        let all = users(listener.local_addr().unwrap());
        assert_eq!(all, HashMap::from([(client.local_addr().unwrap(), own)]));
    }
}
