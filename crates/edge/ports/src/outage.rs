//! A line to the control plane that is down: since when, why, and what an operator would look at.

/// What is in the way, by where one would look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hurdle {
    /// A certificate, a key, a token or an address of the configuration cannot be used.
    Settings,
    /// A name was not found.
    Name,
    /// The host is there, and nobody listens at the port.
    Refused,
    /// There is no way to the host, or none that answers in time.
    Unreachable,
    /// The proxy said no.
    Proxy,
    /// By this device's clock the certificate of the control plane is over or has not begun.
    Clock,
    /// The certificate of the control plane is not one that this core trusts.
    Trust,
    /// The control plane does not take this core, its certificate or its name.
    Denied,
    /// Another client came with the name of this core.
    Replaced,
    /// The control plane hung up over a message to a topic that this core may not publish to.
    Topic,
    /// The control plane takes nobody now.
    Busy,
    /// It answers what it should not.
    Protocol,
    /// It was up and broke.
    Broken,
}

impl Hurdle {
    /// The word of an answer: stable, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Name => "name",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Proxy => "proxy",
            Self::Clock => "clock",
            Self::Trust => "trust",
            Self::Denied => "denied",
            Self::Replaced => "replaced",
            Self::Topic => "topic",
            Self::Busy => "busy",
            Self::Protocol => "protocol",
            Self::Broken => "broken",
        }
    }

    /// What to look at.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Settings => "correct what it names; the core tries again by itself",
            Self::Name => "look at the name servers of this device, and at the endpoint (`iotDataEndpoint`)",
            Self::Refused => "look whether the control plane runs, and at the port (`iotDataEndpoint`, `mqtt.port`)",
            Self::Unreachable => {
                "look at the network of this device, and whether a firewall lets it reach this host and port"
            }
            Self::Proxy => {
                "look at the proxy (`networkProxy`): whether it runs, lets this device in and may reach the host"
            }
            Self::Clock => {
                "set the clock of this device if it is wrong; else the control plane needs a new certificate"
            }
            Self::Trust => {
                "look at `rootCaPath` and at the endpoint: they belong to another control plane, or somebody in between \
                 opens the connection"
            }
            Self::Denied => {
                "look in the control plane whether the certificate of this core is there and active, and whether its \
                 policy lets this thing connect"
            }
            Self::Replaced => "look for another device with the name of this one; each needs a thing of its own",
            Self::Topic => Denied::ADVICE,
            Self::Busy => "wait; the core tries again by itself",
            Self::Protocol => {
                "look at the endpoint and its port (`iotDataEndpoint`, `mqtt.port`): is it MQTT with TLS?"
            }
            Self::Broken => "wait; the core tries again by itself. If it happens often, look at the network",
        }
    }
}

/// What a try ended with, or the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is in the way.
    pub hurdle: Hurdle,
    /// A short sentence for people.
    pub reason: String,
    /// The words of those who refused: of the system, of the peer. Empty when the reason says it all.
    pub detail: String,
}

/// A line that is configured and down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Since when, by the clock as it is now: one that was set meanwhile moves it.
    pub since: i64,
    /// Whether it was up before, in the life of this core; else it is down since the core has these settings.
    pub was_up: bool,
    /// None while the first try is under way.
    pub trouble: Option<Trouble>,
    /// Messages that wait in the spool.
    pub waiting_messages: usize,
    /// Their bytes.
    pub waiting_bytes: u64,
}

/// Messages that the control plane did not take from this core, hanging up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// How often since the core started.
    pub times: u64,
    /// The last one's topic.
    pub topic: String,
    /// And when, by the clock as it is now.
    pub at: i64,
}

impl Denied {
    /// What to look at.
    pub const ADVICE: &str = "allow iot:Publish on it in the policy of the core's certificate, or take away the component that publishes there; \
                              deployments go on meanwhile";
}
