//! Which addresses a flow's requests may go to (TG 10.4): the guard checks the very address that is connected to.

use std::net::{IpAddr, SocketAddr};

use marram_flow::{Fault, fault};
use smol_str::SmolStr;
use tokio::net::TcpStream;

/// How far requests reach.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach<'a> {
    /// Public addresses, and the hosts listed here (`host` or `host:port`) wherever they are.
    Public(&'a [SmolStr]),
    /// Every address: buses on the network of a core.
    Anywhere,
}

/// `host:port`, as policies and allow-lists write it.
pub(super) fn place(host: &str, port: u16) -> String {
    format!("{}:{port}", host.to_ascii_lowercase())
}

/// Resolves once, checks, connects to what was checked: a second answer of the name server changes nothing. `host` without
/// brackets.
pub(super) async fn connect(host: &str, port: u16, reach: Reach<'_>) -> Result<TcpStream, Fault> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            found.map_err(|error| failed(format!("`{host}`: {error}")))?.collect()
        }
    };
    let place = place(host, port);
    let free = match reach {
        Reach::Anywhere => true,
        Reach::Public(listed) => listed.iter().any(|entry| entry.eq_ignore_ascii_case(host) || *entry == place),
    };
    let mut last = None;
    for address in addresses {
        if !free && !is_public(address.ip()) {
            let message = format!("`{host}` leads to an address that is not public and not on the allow-list");
            return Err(Fault::new(fault::PERMISSION, message));
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(failed(last.map_or_else(|| format!("`{host}` has no address"), |error| error.to_string())))
}

fn failed(message: impl Into<String>) -> Fault {
    Fault::new(fault::TASK_FAILED, message)
}

/// Whether an address is one of the public internet: not loopback, private, link-local (metadata services among them),
/// shared, benchmark, documentation, multicast, reserved, nor an IPv6 form that carries such an IPv4 address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(a == 0
                || a == 10
                || a == 127
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 169 && b == 254)
                || (a == 172 && (16..32).contains(&b))
                || (a == 192 && b == 168)
                || (a == 192 && b == 0 && (c == 0 || c == 2))
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19))
                || (a == 198 && b == 51 && c == 100)
                || (a == 203 && b == 0 && c == 113))
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            let segments = v6.segments();
            match segments {
                // NAT64 and 6to4 lead to the IPv4 address they carry.
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                    let [a, b] = high.to_be_bytes();
                    let [c, d] = low.to_be_bytes();
                    is_public(IpAddr::from([a, b, c, d]))
                }
                [0x2001, 0x0db8, ..] | [0x2001, 0, ..] => false,
                [first, ..] => first & 0xe000 == 0x2000,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 10.4, 11.6: loopback, link-local, private and metadata addresses are refused in every spelling.
    #[test]
    fn guard_knows_what_is_not_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
