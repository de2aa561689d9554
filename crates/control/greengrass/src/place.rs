//! ARNs of Greengrass resources, taken apart and put together.

use marram_identity::CallContext;
use marram_registry::Realm;
use marram_types::Arn;

/// `arn:aws:greengrass:{region}:{account}:{resource}`.
pub(crate) fn arn(realm: &Realm, resource: &str) -> String {
    format!("arn:{}:greengrass:{}:{}:{resource}", realm.partition, realm.region, realm.account)
}

/// `components:{name}`.
pub(crate) fn component(realm: &Realm, name: &str) -> String {
    arn(realm, &format!("components:{name}"))
}

/// `components:{name}:versions:{version}`.
pub(crate) fn component_version(realm: &Realm, name: &str, version: &str) -> String {
    arn(realm, &format!("components:{name}:versions:{version}"))
}

/// `deployments:{id}`.
pub(crate) fn deployment(realm: &Realm, id: &str) -> String {
    arn(realm, &format!("deployments:{id}"))
}

/// `coreDevices:{thing}`.
pub(crate) fn core_device(realm: &Realm, thing: &str) -> String {
    arn(realm, &format!("coreDevices:{thing}"))
}

/// Where a call happens.
pub(crate) fn realm(ctx: &CallContext) -> Realm {
    Realm::of(ctx)
}

/// The resource part of an own Greengrass ARN.
pub(crate) fn own_resource(realm: &Realm, text: &str) -> Option<String> {
    let arn = text.parse::<Arn>().ok()?;
    let own =
        arn.is_in("greengrass", &realm.account, Some(&realm.region)) && arn.partition() == realm.partition.as_str();
    own.then(|| arn.resource().to_owned())
}

/// Name and, if it has one, version of an own component's ARN.
pub(crate) fn component_of(realm: &Realm, text: &str) -> Option<(String, Option<String>)> {
    let resource = own_resource(realm, text)?;
    let rest = resource.strip_prefix("components:")?;
    match rest.split_once(":versions:") {
        Some((name, version)) => Some((name.to_owned(), Some(version.to_owned()))),
        None if rest.contains(':') => None,
        None => Some((rest.to_owned(), None)),
    }
}

/// A thing or thing group in a target's ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Thing(String),
    Group(String),
}

impl Target {
    /// Reads the ARN of an own thing or group.
    pub(crate) fn parse(realm: &Realm, text: &str) -> Option<Target> {
        let resource = text.strip_prefix(realm.arn("").as_str())?;
        match resource.split_once('/')? {
            ("thing", name) if !name.is_empty() => Some(Target::Thing(name.to_owned())),
            ("thinggroup", name) if !name.is_empty() => Some(Target::Group(name.to_owned())),
            _ => None,
        }
    }

    /// `thing/{name}` or `thinggroup/{name}`.
    pub(crate) fn resource(&self) -> String {
        match self {
            Target::Thing(name) => format!("thing/{name}"),
            Target::Group(name) => format!("thinggroup/{name}"),
        }
    }
}
