//! Provisioning templates: from a body and parameters to what is to be made (CP 4.8).
//!
//! Pure. `Ref`, `Fn::Join`, `Fn::Select`, `Fn::FindInMap`, `Fn::Split` and `Fn::Sub` are the intrinsics; a reference to
//! another resource is its name (thing, policy) or id (certificate).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Longest body, in characters (CP 4.1).
pub const MAX_BODY_CHARS: usize = 10_240;
/// Deepest nesting of intrinsics and references.
const MAX_DEPTH: usize = 16;
/// Longest text an intrinsic may make, in bytes.
const MAX_TEXT: usize = 16 * 1024;
/// Parameters given at most; names and values of 2,048 bytes.
const MAX_PARAMETERS: usize = 100;

/// Why a template, or its use, is refused. In words for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    parameters: BTreeMap<String, Option<String>>,
    mappings: Map<String, Value>,
    resources: BTreeMap<String, Resource>,
    device_configuration: Map<String, Value>,
}

#[derive(Debug, Clone)]
struct Resource {
    kind: Kind,
    properties: Map<String, Value>,
    overrides: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thing,
    Certificate,
    Policy,
}

/// What happens to a property of a thing that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override {
    /// It stays as it is.
    DoNothing,
    /// The template's value takes its place.
    Replace,
    /// Attributes are added.
    Merge,
    /// The thing's value must be the template's already.
    Fail,
}

/// A thing to be made or taken.
#[derive(Debug, Clone, PartialEq)]
pub struct ThingPlan {
    /// Name of the resource in the template.
    pub logical_id: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: Option<String>,
    /// Groups it joins.
    pub groups: Vec<String>,
    /// Its billing group.
    pub billing_group: Option<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// For one that exists: its type, its attributes, its groups.
    pub overrides: [Override; 3],
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum CertificateSource {
    /// Known already.
    Id(String),
    /// To be registered.
    Pem(String),
    /// To be issued.
    Request(String),
}

/// The certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificatePlan {
    /// Name of the resource in the template.
    pub logical_id: String,
    /// Where it comes from.
    pub source: CertificateSource,
    /// `ACTIVE` or `INACTIVE`.
    pub status: String,
    /// The thing and the certificate belong to each other alone.
    pub exclusive: bool,
}

/// A policy for the certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyPlan {
    /// Name of the resource in the template.
    pub logical_id: String,
    /// An existing policy's name, or the one to make.
    pub name: String,
    /// The document of a policy to make.
    pub document: Option<String>,
}

/// What a template asks for, every expression resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// At most one thing.
    pub thing: Option<ThingPlan>,
    /// At most one certificate.
    pub certificate: Option<CertificatePlan>,
    /// Policies, by logical id.
    pub policies: Vec<PolicyPlan>,
    /// Told to the device.
    pub device_configuration: Map<String, Value>,
}

fn refuse<T>(text: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError(text.into()))
}

fn object(value: Option<&Value>, what: &str) -> Result<Map<String, Value>, TemplateError> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members.clone()),
        Some(_) => refuse(format!("{what} must be an object")),
    }
}

impl Template {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(body: &str) -> Result<Self, TemplateError> {
        if body.chars().count() > MAX_BODY_CHARS {
            return refuse(format!("a template body has at most {MAX_BODY_CHARS} characters"));
        }
        let Ok(Value::Object(body)) = serde_json::from_str(body) else {
            return refuse("a template body is a JSON object");
        };
        if let Some(unknown) = body
            .keys()
            .find(|name| !matches!(name.as_str(), "Parameters" | "Mappings" | "Resources" | "DeviceConfiguration"))
        {
            return refuse(format!("unknown section {}", marram_registry::shown(unknown)));
        }
        let mut parameters = BTreeMap::new();
        for (name, declared) in object(body.get("Parameters"), "Parameters")? {
            if declared["Type"].as_str() != Some("String") {
                return refuse(format!("parameter {} must have Type String", marram_registry::shown(&name)));
            }
            let default = match &declared["Default"] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                _ => {
                    return refuse(format!(
                        "the Default of parameter {} must be a text",
                        marram_registry::shown(&name)
                    ));
                }
            };
            parameters.insert(name, default);
        }
        let mut resources = BTreeMap::new();
        for (name, declared) in object(body.get("Resources"), "Resources")? {
            let kind = match declared["Type"].as_str() {
                Some("AWS::IoT::Thing") => Kind::Thing,
                Some("AWS::IoT::Certificate") => Kind::Certificate,
                Some("AWS::IoT::Policy") => Kind::Policy,
                _ => return refuse(format!("resource {} has an unknown Type", marram_registry::shown(&name))),
            };
            let properties = object(declared.get("Properties"), "Properties")?;
            let overrides = object(declared.get("OverrideSettings"), "OverrideSettings")?;
            resources.insert(name, Resource { kind, properties, overrides });
        }
        for kind in [Kind::Thing, Kind::Certificate] {
            if resources.values().filter(|resource| resource.kind == kind).count() > 1 {
                return refuse("a template has at most one thing and one certificate");
            }
        }
        if resources.is_empty() {
            return refuse("a template needs Resources");
        }
        Ok(Self {
            parameters,
            mappings: object(body.get("Mappings"), "Mappings")?,
            resources,
            device_configuration: object(body.get("DeviceConfiguration"), "DeviceConfiguration")?,
        })
    }

    /// Resolves the template with these parameters. Those that the template does not declare are ignored; `AWS::` parameters
    /// are the service's own and win over what a device says.
    ///
    /// # Errors
    /// A parameter without a value, an expression that has none.
    pub fn plan(
        &self,
        given: &BTreeMap<String, String>,
        own: &BTreeMap<String, String>,
    ) -> Result<Plan, TemplateError> {
        if given.len() > MAX_PARAMETERS || given.iter().any(|(name, value)| name.len() > 2048 || value.len() > 2048) {
            return refuse("too many or too long parameters");
        }
        let mut values = BTreeMap::new();
        for (name, default) in &self.parameters {
            let value = if name.starts_with("AWS::") { own.get(name) } else { given.get(name) };
            if let Some(value) = value.or(default.as_ref()) {
                values.insert(name.clone(), value.clone());
            }
        }
        values.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        let scope = Scope { template: self, values: &values };
        let mut plan = Plan { thing: None, certificate: None, policies: Vec::new(), device_configuration: Map::new() };
        for (id, resource) in &self.resources {
            match resource.kind {
                Kind::Thing => plan.thing = Some(scope.thing(id, resource)?),
                Kind::Certificate => plan.certificate = Some(scope.certificate(id, resource)?),
                Kind::Policy => plan.policies.push(scope.policy(id, resource)?),
            }
        }
        for (name, value) in &self.device_configuration {
            plan.device_configuration.insert(name.clone(), scope.text(value, 0)?.into());
        }
        Ok(plan)
    }
}

struct Scope<'t> {
    template: &'t Template,
    values: &'t BTreeMap<String, String>,
}

impl Scope<'_> {
    fn thing(&self, id: &str, resource: &Resource) -> Result<ThingPlan, TemplateError> {
        let property = |name: &str| resource.properties.get(name).filter(|value| !value.is_null());
        let Some(name) = property("ThingName") else { return refuse("a thing needs a ThingName") };
        let mut attributes = BTreeMap::new();
        match property("AttributePayload") {
            None => {}
            Some(Value::Object(members)) => {
                for (name, value) in members {
                    attributes.insert(name.clone(), self.text(value, 0)?);
                }
            }
            Some(_) => return refuse("AttributePayload must be an object"),
        }
        Ok(ThingPlan {
            logical_id: id.to_owned(),
            name: self.text(name, 0)?,
            type_name: property("ThingTypeName").map(|value| self.text(value, 0)).transpose()?,
            groups: property("ThingGroups").map(|value| self.texts(value, 0)).transpose()?.unwrap_or_default(),
            billing_group: property("BillingGroup").map(|value| self.text(value, 0)).transpose()?,
            attributes,
            overrides: [
                overriding(resource, "ThingTypeName", false)?,
                overriding(resource, "AttributePayload", true)?,
                overriding(resource, "ThingGroups", false)?,
            ],
        })
    }

    fn certificate(&self, id: &str, resource: &Resource) -> Result<CertificatePlan, TemplateError> {
        let property = |name: &str| resource.properties.get(name).filter(|value| !value.is_null());
        let text = |name: &str| property(name).map(|value| self.text(value, 0)).transpose();
        let source = match (text("CertificateId")?, text("CertificatePem")?, text("CertificateSigningRequest")?) {
            (Some(id), None, None) => CertificateSource::Id(id),
            (None, Some(pem), None) => CertificateSource::Pem(pem),
            (None, None, Some(request)) => CertificateSource::Request(request),
            _ => {
                return refuse("a certificate needs one of CertificateId, CertificatePem, CertificateSigningRequest");
            }
        };
        // Templates in the field write `Active`.
        let status = text("Status")?.map_or_else(|| "ACTIVE".to_owned(), |status| status.to_ascii_uppercase());
        if !matches!(status.as_str(), "ACTIVE" | "INACTIVE") {
            return refuse("the Status of a certificate is ACTIVE or INACTIVE");
        }
        let exclusive = match text("ThingPrincipalType")?.as_deref() {
            None | Some("NON_EXCLUSIVE_THING") => false,
            Some("EXCLUSIVE_THING") => true,
            Some(_) => return refuse("ThingPrincipalType is EXCLUSIVE_THING or NON_EXCLUSIVE_THING"),
        };
        Ok(CertificatePlan { logical_id: id.to_owned(), source, status, exclusive })
    }

    fn policy(&self, id: &str, resource: &Resource) -> Result<PolicyPlan, TemplateError> {
        let property = |name: &str| resource.properties.get(name).filter(|value| !value.is_null());
        let (name, document) = (property("PolicyName"), property("PolicyDocument"));
        let logical_id = id.to_owned();
        match (name, document) {
            (Some(name), None) => Ok(PolicyPlan { logical_id, name: self.text(name, 0)?, document: None }),
            (None, Some(document)) => {
                let document = match document {
                    // A document in place may hold intrinsics; as a text it may be one itself.
                    Value::Object(members) if !is_intrinsic(members) => self.tree(document, 0)?.to_string(),
                    other => self.text(other, 0)?,
                };
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, document.as_bytes());
                let name: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                Ok(PolicyPlan { logical_id, name, document: Some(document) })
            }
            _ => refuse("a policy needs one of PolicyName, PolicyDocument"),
        }
    }

    /// A tree with every intrinsic in it resolved.
    fn tree(&self, value: &Value, depth: usize) -> Result<Value, TemplateError> {
        if depth > MAX_DEPTH {
            return refuse("the template nests too deep");
        }
        Ok(match value {
            Value::Object(members) if is_intrinsic(members) => self.text(value, depth)?.into(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| Ok((name.clone(), self.tree(value, depth + 1)?)))
                .collect::<Result<Map<_, _>, TemplateError>>()?
                .into(),
            Value::Array(items) => {
                items.iter().map(|item| self.tree(item, depth + 1)).collect::<Result<Vec<_>, _>>()?.into()
            }
            leaf => leaf.clone(),
        })
    }

    fn text(&self, value: &Value, depth: usize) -> Result<String, TemplateError> {
        if depth > MAX_DEPTH {
            return refuse("the template nests too deep");
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Object(members) => {
                let (Some((name, argument)), 1) = (members.iter().next(), members.len()) else {
                    return refuse("an expression is a text or one intrinsic");
                };
                match name.as_str() {
                    "Ref" => self.reference(argument.as_str().unwrap_or_default(), depth)?,
                    "Fn::Join" => {
                        let [Value::String(between), items] = pair(argument, "Fn::Join")? else {
                            return refuse("Fn::Join takes a text and a list");
                        };
                        self.texts(items, depth + 1)?.join(between)
                    }
                    "Fn::Select" => {
                        let [index, items] = pair(argument, "Fn::Select")?;
                        let index: Option<usize> = self.text(index, depth + 1)?.parse().ok();
                        let items = self.texts(items, depth + 1)?;
                        match index.and_then(|index| items.into_iter().nth(index)) {
                            Some(item) => item,
                            None => return refuse("Fn::Select names no item of its list"),
                        }
                    }
                    "Fn::FindInMap" => {
                        let keys = self.texts(argument, depth + 1)?;
                        let [map, first, second] = keys.as_slice() else {
                            return refuse("Fn::FindInMap takes three texts");
                        };
                        let found = self.template.mappings.get(map).and_then(|map| map.get(first)?.get(second));
                        match found {
                            Some(Value::String(text)) => text.clone(),
                            _ => return refuse(format!("nothing is mapped for {}", marram_registry::shown(first))),
                        }
                    }
                    "Fn::Sub" => self.substitute(argument, depth + 1)?,
                    "Fn::Split" => return refuse("Fn::Split makes a list, where a text is needed"),
                    _ => return refuse(format!("unknown intrinsic {}", marram_registry::shown(name))),
                }
            }
            _ => return refuse("an expression is a text or one intrinsic"),
        };
        if text.len() > MAX_TEXT {
            return refuse("an expression makes too long a text");
        }
        Ok(text)
    }

    fn texts(&self, value: &Value, depth: usize) -> Result<Vec<String>, TemplateError> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.text(item, depth + 1)).collect(),
            Value::Object(members) if members.len() == 1 && members.contains_key("Fn::Split") => {
                let [Value::String(between), whole] = pair(&members["Fn::Split"], "Fn::Split")? else {
                    return refuse("Fn::Split takes two texts");
                };
                if between.is_empty() {
                    return refuse("Fn::Split needs a delimiter");
                }
                Ok(self.text(whole, depth + 1)?.split(between.as_str()).map(str::to_owned).collect())
            }
            _ => refuse("a list is needed"),
        }
    }

    fn reference(&self, name: &str, depth: usize) -> Result<String, TemplateError> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let missing = || refuse(format!("{} has no value", marram_registry::shown(name)));
        let Some(resource) = self.template.resources.get(name) else { return missing() };
        let property = match resource.kind {
            Kind::Thing => "ThingName",
            Kind::Certificate => "CertificateId",
            Kind::Policy => "PolicyName",
        };
        match resource.properties.get(property) {
            Some(value) => self.text(value, depth + 1),
            None => missing(),
        }
    }

    /// `Fn::Sub`: `${name}` in a text, with further names in the second argument.
    fn substitute(&self, argument: &Value, depth: usize) -> Result<String, TemplateError> {
        let (text, further) = match argument {
            Value::String(text) => (text, Map::new()),
            Value::Array(items) => match items.as_slice() {
                [Value::String(text), Value::Object(further)] => (text, further.clone()),
                [Value::String(text)] => (text, Map::new()),
                _ => return refuse("Fn::Sub takes a text and an object"),
            },
            _ => return refuse("Fn::Sub takes a text and an object"),
        };
        let mut filled = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((name, tail)) = after.split_once('}') else { return refuse("Fn::Sub has an open ${") };
            match (name.strip_prefix('!'), further.get(name)) {
                (Some(literal), _) => {
                    filled.push_str("${");
                    filled.push_str(literal);
                    filled.push('}');
                }
                (None, Some(value)) => filled.push_str(&self.text(value, depth + 1)?),
                // Policy variables stand in documents as they are.
                (None, None) if name.starts_with("iot:") || name.starts_with("aws:") => {
                    filled.push_str("${");
                    filled.push_str(name);
                    filled.push('}');
                }
                (None, None) => filled.push_str(&self.reference(name, depth + 1)?),
            }
            rest = tail;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

fn pair<'v>(argument: &'v Value, name: &str) -> Result<&'v [Value; 2], TemplateError> {
    let pair = argument.as_array().and_then(|items| <&[Value; 2]>::try_from(items.as_slice()).ok());
    pair.ok_or_else(|| TemplateError(format!("{name} takes two arguments")))
}

fn is_intrinsic(members: &Map<String, Value>) -> bool {
    members.len() == 1 && members.keys().all(|name| name == "Ref" || name.starts_with("Fn::"))
}

fn overriding(resource: &Resource, property: &str, may_merge: bool) -> Result<Override, TemplateError> {
    match resource.overrides.get(property).and_then(Value::as_str) {
        None | Some("DO_NOTHING") => Ok(Override::DoNothing),
        Some("REPLACE") => Ok(Override::Replace),
        Some("FAIL") => Ok(Override::Fail),
        Some("MERGE") if may_merge => Ok(Override::Merge),
        Some(_) => refuse(format!("unknown override of {property}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(body: &Value, given: &[(&str, &str)]) -> Result<Plan, TemplateError> {
        let own = [("AWS::IoT::Certificate::Id".to_owned(), "c1".to_owned())].into();
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Template::parse(&body.to_string())?.plan(&given, &own)
    }

    /// A template whose thing name is `expression`.
    fn name(expression: Value) -> Result<String, String> {
        let body = json!({
            "Parameters": {"Serial": {"Type": "String"}, "Site": {"Type": "String", "Default": "north"},
                           "AWS::IoT::Certificate::Id": {"Type": "String"}},
            "Mappings": {"Sites": {"north": {"code": "N"}}},
            "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": expression}},
                          "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "p"}}},
        });
        let given = [("Serial", "s-7"), ("AWS::IoT::Certificate::Id", "forged"), ("Other", "x")];
        plan(&body, &given).map(|plan| plan.thing.unwrap().name).map_err(|error| error.to_string())
    }

    /// CP 4.8: every intrinsic; parameters of the service's own cannot be given by a device.
    #[test]
    fn intrinsics() {
        let table = [
            (json!("plain"), Ok("plain")),
            (json!({"Ref": "Serial"}), Ok("s-7")),
            (json!({"Ref": "Site"}), Ok("north")),
            (json!({"Ref": "AWS::IoT::Certificate::Id"}), Ok("c1")),
            (json!({"Ref": "policy"}), Ok("p")),
            (json!({"Fn::Join": ["-", ["a", {"Ref": "Serial"}]]}), Ok("a-s-7")),
            (json!({"Fn::Select": ["1", ["a", "b"]]}), Ok("b")),
            (json!({"Fn::Select": [1, {"Fn::Split": ["-", {"Ref": "Serial"}]}]}), Ok("7")),
            (json!({"Fn::FindInMap": ["Sites", {"Ref": "Site"}, "code"]}), Ok("N")),
            (json!({"Fn::Sub": "t_${Serial}_${!x}"}), Ok("t_s-7_${x}")),
            (json!({"Fn::Sub": ["${a}${Site}", {"a": {"Ref": "Serial"}}]}), Ok("s-7north")),
            (json!({"Ref": "Other"}), Err("Other has no value")),
            (json!({"Ref": "thing"}), Err("the template nests too deep")),
            (json!({"Fn::Select": ["2", ["a", "b"]]}), Err("Fn::Select names no item of its list")),
            (json!({"Fn::FindInMap": ["Sites", "south", "code"]}), Err("nothing is mapped for south")),
            (json!({"Fn::Nope": []}), Err("unknown intrinsic Fn::Nope")),
            (json!(["a"]), Err("an expression is a text or one intrinsic")),
        ];
        for (expression, wanted) in table {
            assert_eq!(name(expression.clone()), wanted.map(str::to_owned).map_err(str::to_owned), "{expression}");
        }
    }

    /// CP 4.8: properties, overrides, inline policy documents with policy variables left alone.
    #[test]
    fn plans() {
        let document = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect",
            "Resource": {"Fn::Sub": "arn:aws:iot:*:*:client/${Serial}/${iot:Connection.Thing.ThingName}"}}]});
        let body = json!({
            "Parameters": {"Serial": {"Type": "String"}},
            "Resources": {
                "thing": {"Type": "AWS::IoT::Thing", "OverrideSettings": {"AttributePayload": "MERGE", "ThingTypeName": "FAIL"},
                    "Properties": {"ThingName": {"Ref": "Serial"}, "ThingGroups": ["g", {"Ref": "Serial"}],
                        "ThingTypeName": "t", "AttributePayload": {"serial": {"Ref": "Serial"}, "version": "v1"}}},
                "certificate": {"Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "REVOKED"}},
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": document}},
            },
            "DeviceConfiguration": {"url": {"Fn::Join": ["", ["https://", {"Ref": "Serial"}]]}},
        });
        assert_eq!(
            plan(&body, &[("Serial", "s")]).unwrap_err().to_string(),
            "the Status of a certificate is ACTIVE or INACTIVE"
        );
        let mut body = body;
        body["Resources"]["certificate"]["Properties"]["Status"] = "Inactive".into();
        let plan = plan(&body, &[("Serial", "s")]).unwrap();
        let thing = plan.thing.unwrap();
        assert_eq!(thing.overrides, [Override::Fail, Override::Merge, Override::DoNothing]);
        assert_eq!((thing.groups, thing.attributes.len()), (vec!["g".to_owned(), "s".to_owned()], 2));
        assert_eq!(plan.certificate.unwrap().source, CertificateSource::Id("c1".to_owned()));
        assert_eq!(plan.policies[0].name.len(), 64);
        assert!(plan.policies[0].document.as_ref().unwrap().contains("client/s/${iot:Connection.Thing.ThingName}"));
        assert_eq!(plan.device_configuration["url"], "https://s");
    }

    /// CP 4.8: bodies that are no templates.
    #[test]
    fn refusals() {
        let thing = json!({"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "t"}});
        let table = [
            (json!([]), "a template body is a JSON object"),
            (json!({"Resources": {}}), "a template needs Resources"),
            (json!({"Resources": {"a": {"Type": "AWS::S3::Bucket"}}}), "resource a has an unknown Type"),
            (json!({"Resources": {"a": thing, "b": thing}}), "a template has at most one thing and one certificate"),
            (
                json!({"Parameters": {"a": {"Type": "Number"}}, "Resources": {"a": thing}}),
                "parameter a must have Type String",
            ),
            (json!({"Outputs": {}, "Resources": {"a": thing}}), "unknown section Outputs"),
        ];
        for (body, wanted) in table {
            assert_eq!(Template::parse(&body.to_string()).unwrap_err().to_string(), wanted, "{body}");
        }
    }
}
