//! Landlock: the files that are left (SEC-130, security 9.1).

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope, path_beneath_rules,
};

use crate::bounds::Files;

/// First ABI that knows TCP, and the first that knows signals and abstract sockets.
const ABI_NETWORK: u8 = 4;
const ABI_SCOPES: u8 = 6;

/// Denies everything below `/` but what is listed. Paths that do not exist are passed over; whatever the kernel would not
/// enforce is an error.
pub(crate) fn restrict(files: &Files, no_network: bool) -> Result<(), String> {
    let abi = ABI::from(i32::from(files.abi));
    if abi == ABI::Unsupported {
        return Err("the kernel has no Landlock".to_owned());
    }
    let told = |error: landlock::RulesetError| error.to_string();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .map_err(told)?;
    if no_network && files.abi >= ABI_NETWORK {
        ruleset = ruleset.handle_access(AccessNet::from_all(abi)).map_err(told)?;
    }
    for (scope, wanted) in [(Scope::Signal, files.own_signals), (Scope::AbstractUnixSocket, files.own_sockets)] {
        if wanted && files.abi >= ABI_SCOPES {
            ruleset = ruleset.scope(scope).map_err(told)?;
        }
    }
    let mut created = ruleset.create().map_err(told)?;
    for (paths, access) in [
        (&files.read, AccessFs::from_read(abi)),
        (&files.write, AccessFs::from_all(abi)),
        (&files.devices, AccessFs::from_file(abi) & !AccessFs::Execute),
        (&files.connect, AccessFs::from_all(abi) & AccessFs::ResolveUnix),
    ] {
        if !access.is_empty() {
            created = created.add_rules(path_beneath_rules(paths, access)).map_err(told)?;
        }
    }
    match created.restrict_self().map_err(told)?.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        other => Err(format!("Landlock is {other:?}")),
    }
}
