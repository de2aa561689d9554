//! Who is behind a connection over loopback, as the kernel knows it (SEC-133).
//!
//! A socket of TCP does not tell its peer the way a Unix socket does. The kernel's table of connections tells the inode of the other
//! end, and the open files of processes tell who holds it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;

use marram_edge_ports::Peer;

/// Nobody the kernel can name: gone already, in another namespace, or hidden from this core.
pub(crate) const NOBODY: Peer = Peer { pid: 0, uid: u32::MAX, gid: u32::MAX };

/// The processes that hold the end `theirs` of a connection whose other end is `ours`. Reads a file for each open socket of the machine:
/// for callers that have shown a token.
pub(crate) fn holders(theirs: SocketAddr, ours: SocketAddr) -> Vec<Peer> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let Some(inode) = tables.into_iter().find_map(|table| inode(&table, theirs, ours)) else { return Vec::new() };
    let wanted = format!("socket:[{inode}]");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| holds(*pid, &wanted)).filter_map(peer).collect()
}

fn holds(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket))
}

fn peer(pid: u32) -> Option<Peer> {
    let status = fs::metadata(format!("/proc/{pid}")).ok()?;
    Some(Peer { pid, uid: status.uid(), gid: status.gid() })
}

/// The inode in the row of the table (proc(5)) that leads from `theirs` to `ours`.
fn inode(table: &str, theirs: SocketAddr, ours: SocketAddr) -> Option<u64> {
    let row = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>()).find(|row| {
        let is = |at: usize, wanted| row.get(at).and_then(|text| address(text)) == Some(wanted);
        is(1, theirs) && is(2, ours)
    })?;
    // One without an inode is nobody's any more.
    row.get(9)?.parse().ok().filter(|inode| *inode != 0)
}

/// `0100007F:1F90`: words in the machine's order of bytes, the port in hex. An address of IPv4 in one of IPv6 is that of IPv4.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(host.len() / 2);
    for at in (0..host.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok()?.into(),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// SEC-133: the process at the other end is found, over IPv4 and from a socket of IPv6; an end that is closed is nobody's.
    #[test]
    fn the_kernel_names_the_other_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = listener.local_addr().unwrap();
        for host in ["127.0.0.1", "::ffff:127.0.0.1"] {
            let client = TcpStream::connect((host, ours.port())).unwrap();
            let (server, theirs) = listener.accept().unwrap();
            let found = holders(theirs, ours);
            assert!(found.iter().any(|peer| peer.pid == std::process::id()), "{host}: {found:?}");
            drop((client, server));
            assert!(holders(theirs, ours).is_empty(), "{host}");
        }
    }

    /// Nothing in the table makes it fail: rows are found or not.
    #[test]
    fn rows_that_are_none() {
        let (theirs, ours) = ("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        let local = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let one = local([127, 0, 0, 1]);
        let row = |inode: &str| format!("head\n 0: {one}:1F90 {one}:0050 01 0:0 00:0 0 1000 0 {inode} 1\n");
        for (table, found) in [
            (row("77"), Some(77)),
            (row("0"), None),
            (row("x"), None),
            (format!("head\n 0: {one}:1F90\n"), None),
            (format!("head\n 0: {one}0:1F90 é:0050 01\n"), None),
            (String::new(), None),
        ] {
            assert_eq!(inode(&table, theirs, ours), found, "{table}");
        }
    }
}
