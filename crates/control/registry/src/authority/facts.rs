//! The policy variables of a connection (CP 5.6).
//!
//! Values come from the registry and the handshake, never from the device's own words, with one exception: the client
//! id. Values that hold `*`, `?` or `${` are kept as they are; the engine never reads them as patterns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use marram_authz::{ConditionValues, Fact, Facts};
use marram_broker::ConnectAttributes;
use marram_pki::{AlternativeName, Certificate, DistinguishedName};
use marram_types::Timestamp;
use smol_str::{SmolStr, StrExt};

use super::standing::ThingFacts;

/// Lower-case key of a certificate variable to its values.
pub(super) type CertificateFacts = BTreeMap<SmolStr, Vec<SmolStr>>;

/// Variables that stay the same while a connection lasts.
#[derive(Debug, Clone)]
pub(super) struct ConnectionFacts {
    pub(super) client_id: SmolStr,
    pub(super) source: IpAddr,
    pub(super) thing: Option<ThingFacts>,
    /// Only when a policy reads certificates.
    pub(super) certificate: Option<CertificateFacts>,
}

/// Variables of one question: those of the connection, the moment, and at CONNECT its attributes.
pub(super) struct QuestionFacts<'a> {
    pub(super) connection: &'a ConnectionFacts,
    pub(super) now: Timestamp,
    pub(super) connect: Option<ConnectAttributes>,
}

impl Facts for ConnectionFacts {
    fn get(&self, key: &str) -> Option<Fact<'_>> {
        if let Some(rest) = key.strip_prefix("iot:connection.thing.") {
            return self.thing_fact(rest);
        }
        if key.starts_with("iot:certificate.") {
            let values = self.certificate.as_ref()?.get(key)?;
            return match values.as_slice() {
                [] => None,
                [one] if !key.ends_with(".list") => Some(Fact::one(one.as_str())),
                many => Some(Fact::Many(many.iter().map(|value| Cow::Borrowed(value.as_str())).collect())),
            };
        }
        match key {
            "iot:clientid" if !self.client_id.is_empty() => Some(Fact::one(self.client_id.as_str())),
            "aws:sourceip" => Some(Fact::one(self.source.to_canonical().to_string())),
            "aws:securetransport" => Some(Fact::one("true")),
            _ => None,
        }
    }
}

impl ConnectionFacts {
    fn thing_fact(&self, name: &str) -> Option<Fact<'_>> {
        if name == "isattached" {
            return Some(Fact::one(if self.thing.is_some() { "true" } else { "false" }));
        }
        let thing = self.thing.as_ref()?;
        match name {
            "thingname" => Some(Fact::one(thing.name.as_str())),
            "thingtypename" => thing.type_name.as_ref().map(|name| Fact::one(name.as_str())),
            _ => {
                let wanted = name.strip_prefix("attributes[")?.strip_suffix(']')?;
                let attributes = crate::attribute::from_column(thing.attributes.as_ref()?);
                // Keys arrive in lower case. Two attributes that differ in case only have no value: unknown means no.
                let mut found = attributes.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
                match (found.next(), found.next()) {
                    (Some((_, value)), None) => Some(Fact::one(value)),
                    _ => None,
                }
            }
        }
    }
}

impl Facts for QuestionFacts<'_> {
    fn get(&self, key: &str) -> Option<Fact<'_>> {
        match key {
            "aws:currenttime" => Some(Fact::one(self.now.rfc3339())),
            "aws:epochtime" => Some(Fact::one(self.now.as_secs().to_string())),
            "iot:connectattributes" => {
                let attributes = self.connect?;
                let mut values = Vec::new();
                if attributes.persistent {
                    values.push(Cow::Borrowed("PersistentConnect"));
                }
                if attributes.last_will {
                    values.push(Cow::Borrowed("LastWill"));
                }
                (!values.is_empty()).then_some(Fact::Many(values))
            }
            _ => self.connection.get(key),
        }
    }
}

/// Variables of an HTTPS call: what the operation knows comes first.
pub(super) struct CallFacts<'a> {
    pub(super) question: &'a QuestionFacts<'a>,
    pub(super) values: &'a ConditionValues,
    /// Variables of the thing are absent.
    pub(super) without_thing: bool,
}

impl Facts for CallFacts<'_> {
    fn get(&self, key: &str) -> Option<Fact<'_>> {
        if self.without_thing && key.starts_with("iot:connection.thing.") {
            return None;
        }
        self.values.get(key).or_else(|| self.question.get(key))
    }
}

/// The variables of a certificate, by lower-case key.
pub(super) fn certificate_facts(certificate: &Certificate) -> CertificateFacts {
    let mut table = BTreeMap::new();
    let mut keys = Vec::new();
    for (side, name) in [("subject", certificate.subject()), ("issuer", certificate.issuer())] {
        for (variable, values) in rdn_values(name) {
            keys.extend(put(&mut table, &format!("{side}.{variable}"), values));
        }
    }
    let mut alternative: BTreeMap<&str, Vec<SmolStr>> = BTreeMap::new();
    for name in certificate.alternative_names() {
        let (kind, value) = match name {
            AlternativeName::Rfc822(value) => ("RFC822Name", value),
            AlternativeName::Dns(value) => ("DNSName", value),
            AlternativeName::Directory(value) => ("DirectoryName", value),
            AlternativeName::Uri(value) => ("UniformResourceIdentifier", value),
            AlternativeName::Ip(value) => ("IPAddress", value),
        };
        alternative.entry(kind).or_default().push(value.into());
    }
    for (kind, values) in alternative {
        keys.extend(put(&mut table, &format!("subject.alternativename.{kind}"), values.clone()));
        keys.extend(put(&mut table, &format!("alternativename.{kind}"), values));
    }
    keys.extend(put(&mut table, "serialnumber", vec![certificate.serial_hex().into()]));
    table.insert("iot:certificate.availablekeys".into(), keys);
    table
}

/// Enters a variable under its name, with each index, and as a list; answers the names a policy can ask for.
fn put(table: &mut BTreeMap<SmolStr, Vec<SmolStr>>, name: &str, values: Vec<SmolStr>) -> Vec<SmolStr> {
    let key = format!("iot:certificate.{name}").to_lowercase_smolstr();
    let mut names = vec![key.clone()];
    if let Some(first) = values.first() {
        table.insert(key.clone(), vec![first.clone()]);
    }
    for (index, value) in values.iter().enumerate() {
        let indexed = SmolStr::new(format!("{key}.{index}"));
        table.insert(indexed.clone(), vec![value.clone()]);
        names.push(indexed);
    }
    table.insert(SmolStr::new(format!("{key}.list")), values);
    names
}

fn rdn_values(name: &DistinguishedName) -> BTreeMap<&'static str, Vec<SmolStr>> {
    let mut values: BTreeMap<&'static str, Vec<SmolStr>> = BTreeMap::new();
    for rdn in name.rdns() {
        if let Some(variable) = rdn.kind.variable() {
            values.entry(variable).or_default().push(rdn.value.as_str().into());
        }
    }
    values
}
