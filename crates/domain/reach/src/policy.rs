//! What a component may reach: the value of `marram.sandbox.egress` (SEC-132).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};
use smol_str::{SmolStr, ToSmolStr};

/// Entries of one declaration.
const RULES_MAX: usize = 128;
/// Different ports of one declaration; each is a socket of the core's.
const PORTS_MAX: usize = 64;
/// Characters of a name and of each of its labels (RFC 1035 2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Ports that are open while a component is learned about: nobody knows yet which it needs. Attempts at others are refused
/// and recorded.
const LEARN_PORTS: [u16; 34] = [
    21, 22, 80, 102, 443, 465, 502, 587, 993, 1433, 1521, 1883, 3000, 3306, 4222, 4840, 5000, 5432, 5671, 5672, 6379,
    8000, 8080, 8081, 8086, 8443, 8883, 8888, 9000, 9092, 9093, 9200, 27017, 44818,
];

/// Whether a connection must be TLS for the host it was made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// Its first bytes are a ClientHello that names the host.
    Required,
    /// No matter.
    #[default]
    Any,
}

/// Whom a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// One name, in lower case.
    Name(SmolStr),
    /// Every name below this one, not the name itself.
    Below(SmolStr),
    /// Addresses that share their first bits; all of them for a single one.
    Net(IpAddr, u8),
}

/// One entry of a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whom.
    pub host: Host,
    /// At which port.
    pub port: u16,
    /// How.
    pub tls: Tls,
}

/// What a component may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Everything, to find out what it needs.
    pub learn: bool,
    /// Else what these say.
    pub rules: Vec<Rule>,
}

/// Why a declaration was refused. Shown to its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("marram.sandbox.egress{place}: {what}; {remedy}")]
pub struct PolicyError {
    place: String,
    what: String,
    remedy: &'static str,
}

impl PolicyError {
    /// Where below `marram.sandbox.egress`; empty for the whole.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong there, and what would be right.
    pub fn problem(&self) -> String {
        format!("{}; {}", self.what, self.remedy)
    }
}

const SHAPE: &str =
    "write a list such as [{\"host\": \"api.example.com\", \"port\": 443, \"tls\": \"required\"}], or \"learn\"";

pub(crate) fn wrong(place: impl Into<String>, what: impl Into<String>, remedy: &'static str) -> PolicyError {
    PolicyError { place: place.into(), what: what.into(), remedy }
}

impl Policy {
    /// Reads the value of the key.
    ///
    /// # Errors
    /// [`PolicyError`]; nothing unknown is passed over, because it may have been meant to narrow what is open.
    pub fn parse(value: &Value) -> Result<Self, PolicyError> {
        if value.as_str().is_some_and(|word| word.eq_ignore_ascii_case("learn")) {
            return Ok(Self { learn: true, rules: Vec::new() });
        }
        let Some(entries) = value.as_array() else {
            return Err(wrong("", format!("{value} is neither a list of hosts nor \"learn\""), SHAPE));
        };
        if entries.len() > RULES_MAX {
            return Err(wrong(
                "",
                format!("{} entries", entries.len()),
                "at most 128 are possible: join them with *.suffix or a/24",
            ));
        }
        let rules = entries.iter().enumerate();
        let rules = rules.map(|(index, entry)| Rule::parse(&format!("[{index}]"), entry)).collect::<Result<_, _>>()?;
        let policy = Self { learn: false, rules };
        let ports = policy.ports().len();
        if ports > PORTS_MAX {
            return Err(wrong("", format!("{ports} different ports"), "at most 64 are possible"));
        }
        Ok(policy)
    }

    /// What [`Policy::parse`] reads.
    pub fn to_value(&self) -> Value {
        if self.learn { json!("learn") } else { self.rules.iter().map(Rule::to_value).collect() }
    }

    /// Ports that are listened at inside, in order.
    pub fn ports(&self) -> Vec<u16> {
        if self.learn {
            return LEARN_PORTS.to_vec();
        }
        let mut ports: Vec<u16> = self.rules.iter().map(|rule| rule.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Exact names, in the order of the declaration.
    pub fn names(&self) -> impl Iterator<Item = &SmolStr> {
        self.rules.iter().filter_map(|rule| match &rule.host {
            Host::Name(name) => Some(name),
            _ => None,
        })
    }

    /// Whether a name has an address inside, whatever the port.
    pub fn knows(&self, name: &str) -> bool {
        self.learn || self.rules.iter().any(|rule| rule.host.is_name(name))
    }

    /// How `name` may be reached at `port`; none: not at all.
    pub fn of_name(&self, name: &str, port: u16) -> Option<Tls> {
        self.strictest(port, |host| host.is_name(name))
    }

    /// How an address may be reached at `port`; none: not at all.
    pub fn of_address(&self, address: IpAddr, port: u16) -> Option<Tls> {
        self.strictest(port, |host| host.is_address(address))
    }

    fn strictest(&self, port: u16, fits: impl Fn(&Host) -> bool) -> Option<Tls> {
        if self.learn {
            return Some(Tls::Any);
        }
        let mut fitting = self.rules.iter().filter(|rule| rule.port == port && fits(&rule.host)).map(|rule| rule.tls);
        let first = fitting.next()?;
        Some(if first == Tls::Any && fitting.all(|tls| tls == Tls::Any) { Tls::Any } else { Tls::Required })
    }

    /// Whether a core that allows `ceiling` at most allows this.
    ///
    /// # Errors
    /// The first entry that goes beyond it.
    pub fn within(&self, ceiling: &Self) -> Result<(), PolicyError> {
        if ceiling.learn {
            return Ok(());
        }
        const REMEDY: &str = "ask whoever runs this core to allow it in the nucleus' marram.sandbox.egress";
        if self.learn {
            return Err(wrong("", "this core opens its network to no component, not even to learn", REMEDY));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let covers = |other: &Rule| {
                other.port == rule.port
                    && other.host.covers(&rule.host)
                    && (other.tls == Tls::Any || rule.tls == Tls::Required)
            };
            if !ceiling.rules.iter().any(covers) {
                return Err(wrong(format!("[{index}]"), format!("this core does not allow {rule}"), REMEDY));
            }
        }
        Ok(())
    }
}

impl Rule {
    fn parse(place: &str, entry: &Value) -> Result<Self, PolicyError> {
        let Some(members) = entry.as_object() else {
            return Err(wrong(place, format!("{entry} is no entry"), SHAPE));
        };
        if let Some(unknown) = members.keys().find(|key| !["host", "port", "proto", "tls"].contains(&key.as_str())) {
            return Err(wrong(place, format!("`{unknown}` is unknown"), "an entry has host, port, tls and proto"));
        }
        let Some(host) = members.get("host").and_then(Value::as_str) else {
            return Err(wrong(format!("{place}.host"), "no text", "name a host, an address, a/24 or *.suffix"));
        };
        let host = Host::parse(host).map_err(|(what, remedy)| wrong(format!("{place}.host"), what, remedy))?;
        // Numbers pass through documents that know only floating point.
        let port = members.get("port").and_then(|port| port.as_u64().or_else(|| port.as_f64().map(|port| port as u64)));
        let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        let port = port.ok_or_else(|| wrong(format!("{place}.port"), "no port", "give a number from 1 to 65535"))?;
        match members.get("proto").map(|proto| proto.as_str().unwrap_or_default().to_ascii_lowercase()).as_deref() {
            None | Some("tcp") => {}
            Some(other) => {
                let what = format!("\"{other}\" is not forwarded, only tcp is");
                return Err(wrong(
                    format!("{place}.proto"),
                    what,
                    "remove the entry, or the key `egress` to give the component the whole network",
                ));
            }
        }
        let tls = match members.get("tls").map(|tls| tls.as_str().unwrap_or_default().to_ascii_lowercase()).as_deref() {
            None | Some("any") => Tls::Any,
            Some("required") => Tls::Required,
            Some(other) => {
                return Err(wrong(format!("{place}.tls"), format!("\"{other}\""), "it is \"required\" or \"any\""));
            }
        };
        Ok(Self { host, port, tls })
    }

    /// What [`Policy::parse`] reads as an entry.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"host": self.host.to_string(), "port": self.port});
        if self.tls == Tls::Required {
            value["tls"] = json!("required");
        }
        value
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at port {}{}", self.host, self.port, if self.tls == Tls::Any { " without TLS" } else { "" })
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        const REMEDY: &str = "name a host, an address, a/24 or *.suffix";
        let text = text.trim();
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let address = address.to_canonical();
            return Ok(Self::Net(address, bits(address)));
        }
        if let Some((address, length)) = text.split_once('/') {
            let address = address.parse::<IpAddr>().ok().filter(|address| *address == address.to_canonical());
            let (Some(address), Ok(length)) = (address, length.parse::<u8>()) else {
                return Err((format!("\"{text}\" is no range of addresses"), REMEDY));
            };
            if length == 0 || length > bits(address) {
                return Err((format!("\"{text}\" has no length from 1 to {}", bits(address)), REMEDY));
            }
            if masked(address, length) != number(address) {
                return Err((format!("\"{text}\" has bits beyond its length"), "write the first address of the range"));
            }
            return Ok(Self::Net(address, length));
        }
        let name = normal(text);
        match name.strip_prefix("*.") {
            Some(suffix) if is_name(suffix) => Ok(Self::Below(suffix.into())),
            None if is_name(&name) => Ok(Self::Name(name)),
            _ => Err((format!("\"{text}\" is no host"), REMEDY)),
        }
    }

    fn is_name(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Below(suffix) => is_below(name, suffix),
            Self::Net(..) => false,
        }
    }

    fn is_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Net(net, length) => net.is_ipv4() == address.is_ipv4() && masked(address, *length) == number(*net),
            // Its addresses are known without asking anybody.
            Self::Name(name) => name == "localhost" && is_localhost(address),
            Self::Below(_) => false,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(own), Self::Name(name)) => own == name,
            (Self::Below(suffix), Self::Name(name)) => is_below(name, suffix),
            (Self::Below(suffix), Self::Below(other)) => other == suffix || is_below(other, suffix),
            (Self::Net(_, length), Self::Net(other, longer)) => longer >= length && self.is_address(*other),
            _ => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
            Self::Net(address, length) if *length == bits(*address) => write!(f, "{address}"),
            Self::Net(address, length) => write!(f, "{address}/{length}"),
        }
    }
}

fn is_localhost(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)
}

/// A name as it is compared: in lower case, without the dot of the root.
pub fn normal(name: &str) -> SmolStr {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().to_smolstr()
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// Whether a normal name is one of a host. The last label is no number: what looks like an address is none.
pub fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
            && !label.starts_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= NAME_MAX && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, length: u8) -> u128 {
    let rest = u32::from(bits(address) - length.min(bits(address)));
    number(address).checked_shr(rest).and_then(|kept| kept.checked_shl(rest)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(value: Value) -> Policy {
        Policy::parse(&value).unwrap()
    }

    /// SEC-132: what a declaration opens, and that it opens nothing else.
    #[test]
    fn only_what_is_declared_is_open() {
        let declared = policy(json!([
            {"host": "Broker.Plant.", "port": 8883, "tls": "required"},
            {"host": "*.vendor.com", "port": 443},
            {"host": "10.1.0.0/16", "port": 502, "proto": "TCP"},
            {"host": "fd00::5", "port": 80.0},
            {"host": "localhost", "port": 1883},
        ]));
        assert_eq!(declared.ports(), [80, 443, 502, 1883, 8883]);
        for (name, port, expected) in [
            ("broker.plant", 8883, Some(Tls::Required)),
            ("broker.plant", 443, None),
            ("xbroker.plant", 8883, None),
            ("a.vendor.com", 443, Some(Tls::Any)),
            ("a.b.vendor.com", 443, Some(Tls::Any)),
            ("vendor.com", 443, None),
            ("evilvendor.com", 443, None),
            (".vendor.com", 443, None),
            ("localhost", 1883, Some(Tls::Any)),
        ] {
            assert_eq!(declared.of_name(name, port), expected, "{name}:{port}");
        }
        for (address, port, is_open) in [
            ("10.1.255.9", 502, true),
            ("10.2.0.1", 502, false),
            ("10.1.0.1", 443, false),
            ("fd00::5", 80, true),
            ("fd00::6", 80, false),
            ("::1", 1883, true),
            ("127.0.0.1", 1883, true),
            ("127.0.0.2", 1883, false),
        ] {
            assert_eq!(declared.of_address(address.parse().unwrap(), port).is_some(), is_open, "{address}:{port}");
        }
        // Of two entries for the same place the stricter holds.
        let both = policy(json!([{"host": "*.a.b", "port": 1}, {"host": "x.a.b", "port": 1, "tls": "required"}]));
        assert_eq!(both.of_name("x.a.b", 1), Some(Tls::Required));
        let learn = policy(json!("learn"));
        assert!(learn.of_name("any.where", 9).is_some() && learn.ports().contains(&443));
    }

    /// SEC-132: a wrong declaration says where, what and what to do.
    #[test]
    fn a_wrong_declaration_is_refused_with_place_and_remedy() {
        for (value, place) in [
            (json!("all"), ":"),
            (json!({"host": "a"}), ":"),
            (json!(["a:1"]), "[0]:"),
            (json!([{"host": "a", "port": 1}, {"port": 1}]), "[1].host:"),
            (json!([{"host": "a"}]), "[0].port:"),
            (json!([{"host": "a", "port": 0}]), "[0].port:"),
            (json!([{"host": "a", "port": 65536}]), "[0].port:"),
            (json!([{"host": "a", "port": "443"}]), "[0].port:"),
            (json!([{"host": "a", "port": 53, "proto": "udp"}]), "[0].proto:"),
            (json!([{"host": "a", "port": 1, "tls": "yes"}]), "[0].tls:"),
            (json!([{"host": "a", "port": 1, "via": "b"}]), "[0]:"),
            (json!([{"host": "*", "port": 1}]), "[0].host:"),
            (json!([{"host": "a.*.b", "port": 1}]), "[0].host:"),
            (json!([{"host": "a b", "port": 1}]), "[0].host:"),
            (json!([{"host": "1.2.3", "port": 1}]), "[0].host:"),
            (json!([{"host": "0.0.0.0/0", "port": 1}]), "[0].host:"),
            (json!([{"host": "10.1.2.3/8", "port": 1}]), "[0].host:"),
            (json!([{"host": "a".repeat(64), "port": 1}]), "[0].host:"),
            (Value::Array(vec![json!({"host": "a", "port": 1}); RULES_MAX + 1]), ":"),
            ((1..=65).map(|port| json!({"host": "a", "port": port})).collect(), ":"),
        ] {
            let error = Policy::parse(&value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("marram.sandbox.egress{place} ")), "{error}");
        }
    }

    /// SEC-131: a component gets no more than the core allows.
    #[test]
    fn a_declaration_stays_within_what_the_core_allows() {
        let ceiling = policy(json!([
            {"host": "*.plant", "port": 8883},
            {"host": "10.0.0.0/8", "port": 502},
            {"host": "api.vendor.com", "port": 443, "tls": "required"},
        ]));
        for (declared, is_within) in [
            (json!([]), true),
            (json!([{"host": "broker.plant", "port": 8883}, {"host": "*.a.plant", "port": 8883}]), true),
            (json!([{"host": "*.plant", "port": 8883}, {"host": "10.2.0.0/16", "port": 502}]), true),
            (json!([{"host": "api.vendor.com", "port": 443, "tls": "required"}]), true),
            (json!([{"host": "api.vendor.com", "port": 443}]), false),
            (json!([{"host": "broker.plant", "port": 1883}]), false),
            (json!([{"host": "plant", "port": 8883}]), false),
            (json!([{"host": "0.0.0.0/1", "port": 502}]), false),
            (json!("learn"), false),
        ] {
            assert_eq!(policy(declared.clone()).within(&ceiling).is_ok(), is_within, "{declared}");
        }
        assert!(policy(json!("learn")).within(&policy(json!("learn"))).is_ok());
    }
}
