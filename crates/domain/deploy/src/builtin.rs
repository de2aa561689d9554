//! Components that this runtime is itself: they resolve without the cloud and have no artifacts.

/// A component that is part of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// The version it presents; high within the major that components ask for.
    pub version: &'static str,
}

impl Builtin {
    /// Whether it goes with the last deployment that needs it (core components 1.1): its settings leave the tree, its module stops and
    /// keeps its work folder. The nucleus and what every core has stay, and so does the way to the device's key: without it the core
    /// could not be told to come back.
    pub fn is_removed(&self) -> bool {
        !ALWAYS.contains(&self.name)
    }
}

/// Name of the nucleus.
pub const NUCLEUS: &str = "aws.greengrass.Nucleus";
/// Version that the nucleus presents (CR 1.3: at least 2.17).
pub const NUCLEUS_VERSION: &str = "2.17.0";

/// What runs flows.
pub const FLOW_RUNTIME: &str = "marram.FlowRuntime";

/// Those that no deployment takes away.
const ALWAYS: [&str; 4] =
    [NUCLEUS, "aws.greengrass.Cli", "aws.greengrass.TokenExchangeService", "aws.greengrass.crypto.Pkcs11Provider"];

/// All of them, sorted by name.
pub const BUILTINS: &[Builtin] = &[
    Builtin { name: "aws.greengrass.Cli", version: NUCLEUS_VERSION },
    Builtin { name: "aws.greengrass.DiskSpooler", version: "1.0.7" },
    Builtin { name: marram_parts::DEBUG_CONSOLE, version: "2.4.8" },
    Builtin { name: NUCLEUS, version: NUCLEUS_VERSION },
    Builtin { name: "aws.greengrass.SecretManager", version: "2.2.9" },
    Builtin { name: "aws.greengrass.ShadowManager", version: "2.3.14" },
    Builtin { name: "aws.greengrass.TokenExchangeService", version: "2.0.3" },
    Builtin { name: "aws.greengrass.clientdevices.Auth", version: "2.5.7" },
    Builtin { name: "aws.greengrass.clientdevices.IPDetector", version: "2.2.5" },
    Builtin { name: "aws.greengrass.clientdevices.mqtt.EMQX", version: "2.1.0" },
    Builtin { name: "aws.greengrass.clientdevices.mqtt.Moquette", version: "2.3.11" },
    Builtin { name: "aws.greengrass.crypto.Pkcs11Provider", version: "2.0.11" },
    Builtin { name: FLOW_RUNTIME, version: "1.0.0" },
];

/// The builtin of this name.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// Whether only the vendors' own components and parts of this runtime have names like this. One that is no builtin and was not
/// published is one that is not built.
pub fn is_vendor_name(name: &str) -> bool {
    const OWN: &str = "marram.";
    marram_recipe::is_reserved(name) || name.get(..OWN.len()).is_some_and(|first| first.eq_ignore_ascii_case(OWN))
}
