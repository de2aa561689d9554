//! Addresses that stand for names inside a component's namespace.
//!
//! They lie in 198.18.0.0/15, which no network of the world uses (RFC 2544), and not on the loopback, which some programs treat
//! in their own way. They mean something to one component only, as long as its namespace lives.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use smol_str::SmolStr;

use marram_reach::Policy;

/// The namespace's own address.
pub const INSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The first that stands for a name.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 0);
/// Names of one component.
const NAMES_MAX: usize = 4096;

/// Names of one component and the addresses that stand for them.
#[derive(Debug, Default)]
pub struct Book {
    names: Vec<SmolStr>,
    places: HashMap<SmolStr, usize>,
}

impl Book {
    /// With the exact names of a policy, the same addresses each time.
    pub fn of(policy: &Policy) -> Self {
        let mut book = Self::default();
        for name in policy.names() {
            book.address_of(name);
        }
        book
    }

    /// The address of a name, given to it when it has none; none when too many have.
    pub fn address_of(&mut self, name: &SmolStr) -> Option<Ipv4Addr> {
        if name == "localhost" {
            return Some(Ipv4Addr::LOCALHOST);
        }
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.names.len() >= NAMES_MAX => return None,
            None => {
                self.names.push(name.clone());
                self.places.insert(name.clone(), self.names.len() - 1);
                self.names.len() - 1
            }
        };
        Some(Ipv4Addr::from_bits(FIRST.to_bits() + place as u32))
    }

    /// The name that an address stands for.
    pub fn name_of(&self, address: IpAddr) -> Option<&SmolStr> {
        match address {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => Some(const { &SmolStr::new_static("localhost") }),
            IpAddr::V6(std::net::Ipv6Addr::LOCALHOST) => Some(const { &SmolStr::new_static("localhost") }),
            IpAddr::V4(address) => {
                let place = address.to_bits().checked_sub(FIRST.to_bits())?;
                self.names.get(usize::try_from(place).ok()?)
            }
            IpAddr::V6(_) => None,
        }
    }

    /// `/etc/hosts` inside.
    pub fn hosts_file(&mut self, hostname: &str) -> String {
        let mut text = format!("127.0.0.1 localhost\n{INSIDE} {hostname}\n");
        for name in self.names.clone() {
            if let Some(address) = self.address_of(&name) {
                text.push_str(&format!("{address} {name}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-132: a name keeps its address, and an address that stands for nothing is nobody's.
    #[test]
    fn names_are_pinned_to_addresses() {
        let rules = serde_json::json!([{"host": "b.a", "port": 1}, {"host": "localhost", "port": 2}, {"host": "b.a", "port": 3}]);
        let mut book = Book::of(&Policy::parse(&rules).unwrap());
        let first = book.address_of(&"b.a".into()).unwrap();
        let second = book.address_of(&"c.a".into()).unwrap();
        assert_eq!(book.address_of(&"b.a".into()), Some(first));
        assert_eq!(book.name_of(second.into()).map(SmolStr::as_str), Some("c.a"));
        for stranger in ["198.18.0.1", "198.18.1.2", "127.0.0.2", "8.8.8.8", "::2"] {
            assert_eq!(book.name_of(stranger.parse().unwrap()), None, "{stranger}");
        }
        assert_eq!(
            book.hosts_file("press"),
            format!("127.0.0.1 localhost\n198.18.0.1 press\n{first} b.a\n{second} c.a\n")
        );
        for number in 0..NAMES_MAX {
            book.address_of(&SmolStr::from(format!("n{number}.a")));
        }
        assert_eq!(book.address_of(&"one.more".into()), None);
    }
}
