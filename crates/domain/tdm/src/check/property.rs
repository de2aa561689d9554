//! Properties and enums (TG 3.1, 3.2).

use super::context::{Context, twice};
use super::declare::{Declared, Taken};
use crate::codes::*;
use crate::model::{Bound, EntityKind, Enum, EnumMember, Metatype, Primitive, Property, PropertyShape, Urn};
use crate::syntax::ast::{Argument, Body, Directive, ValueKind};

const FACETS: [&str; 16] = [
    "id",
    "SemTypeId",
    "dataType",
    "instanceOf",
    "description",
    "name",
    "uom",
    "accuracy",
    "isAbstract",
    "isGlobalId",
    "minLength",
    "maxLength",
    "minValue",
    "maxValue",
    "min",
    "max",
];

/// What the `dataType` facet says.
enum DeclaredType {
    Shape(PropertyShape),
    /// `EntityType`: the shape is `instanceOf`'s.
    EntityType,
}

impl Context<'_> {
    pub fn property(&mut self, one: &Declared<'_>, all: &[Declared<'_>]) -> Option<Property> {
        let directive = one.directive;
        self.known_arguments(directive.arguments.as_ref(), &FACETS);
        self.expect_empty(one.definition);
        let data_type = directive.argument("dataType");
        let instance_of = directive.argument("instanceOf");
        let says_abstract = self.flag(directive, "isAbstract");
        let declared = match data_type {
            Some(argument) => Some(self.data_type(argument)?),
            None => None,
        };
        let shape = match (declared, instance_of) {
            (Some(DeclaredType::Shape(shape)), None) => shape,
            (Some(DeclaredType::Shape(_)), Some(argument)) => {
                self.error(TDM3010, argument.name.span(), "`instanceOf` goes with dataType EntityType only");
                return None;
            }
            (Some(DeclaredType::EntityType) | None, Some(argument)) => {
                let target = self.reference(&argument.value, &[Metatype::State, Metatype::Property])?;
                PropertyShape::Complex(self.instance_state(target, argument, all)?)
            }
            (Some(DeclaredType::EntityType), None) => {
                self.error(TDM3006, directive.place.0, "dataType EntityType needs `instanceOf`");
                return None;
            }
            (None, None) => {
                let is_parent = all.iter().any(|other| {
                    other.id.metatype() == Metatype::Property && other.id != one.id && other.id.is_a(&one.id)
                });
                if !says_abstract && !is_parent {
                    self.error(TDM3006, directive.place.0, "a property needs `dataType` or `instanceOf`");
                    return None;
                }
                PropertyShape::Abstract
            }
        };
        let mut property = Property {
            is_abstract: says_abstract || shape == PropertyShape::Abstract,
            shape,
            uom: directive.argument("uom").and_then(|argument| self.unit(argument)),
            accuracy: directive.argument("accuracy").and_then(|argument| self.float(argument)),
            is_global_id: self.flag(directive, "isGlobalId"),
            min_length: None,
            max_length: None,
            min_value: None,
            max_value: None,
        };
        self.length_facets(directive, &mut property);
        self.range_facets(directive, &mut property);
        Some(property)
    }

    /// The state behind `instanceOf`: itself, or what the complex property it names is an instance of.
    fn instance_state(&mut self, target: Urn, argument: &Argument, all: &[Declared<'_>]) -> Option<Urn> {
        let mut next = target;
        // a chain of properties is no longer than the number of properties, or it is a cycle
        for _ in 0..=all.len() + 1 {
            if next.metatype() == Metatype::State {
                return Some(next);
            }
            let declared = all.iter().find(|other| other.id == next);
            next = match declared {
                Some(declared) => {
                    let link = declared.directive.argument("instanceOf")?.value.as_text()?;
                    let link = Urn::parse(link).ok()?;
                    self.identity(&link)?
                }
                None => match &self.source.entity(&next)?.kind {
                    EntityKind::Property(Property { shape: PropertyShape::Complex(state), .. }) => state.clone(),
                    _ => {
                        self.error(TDM3010, argument.value.span(), format!("`{next}` is not a complex property"));
                        return None;
                    }
                },
            };
        }
        self.error(TDM3015, argument.value.span(), "the property is an instance of itself");
        None
    }

    fn data_type(&mut self, argument: &Argument) -> Option<DeclaredType> {
        let value = &argument.value;
        let text = self.text_of(value)?;
        if !text.contains(':') {
            if text.eq_ignore_ascii_case("EntityType") {
                return Some(DeclaredType::EntityType);
            }
            let known = Primitive::parse(&text);
            if known.is_none() {
                self.error(TDM3004, value.span(), format!("there is no data type `{}`", super::context::clip(&text)));
            }
            return known.map(|primitive| DeclaredType::Shape(PropertyShape::Primitive(primitive)));
        }
        let urn = self.typed_urn(value, &[Metatype::DataType, Metatype::Property, Metatype::Enum])?;
        let primitive = match urn.metatype() {
            Metatype::Enum => {
                return self.reference(value, &[Metatype::Enum]).map(|id| DeclaredType::Shape(PropertyShape::Enum(id)));
            }
            Metatype::DataType if urn.name().eq_ignore_ascii_case("EntityType") => {
                return Some(DeclaredType::EntityType);
            }
            Metatype::DataType => Primitive::parse(urn.name()),
            _ if urn.namespace().eq_ignore_ascii_case("aws") => Primitive::parse(urn.path()),
            _ => None,
        };
        if primitive.is_none() {
            self.error(TDM3004, value.span(), format!("`{urn}` names no data type"));
        }
        primitive.map(|primitive| DeclaredType::Shape(PropertyShape::Primitive(primitive)))
    }

    /// A unit, or the enum of all units. Units are metadata and have no definitions of their own.
    fn unit(&mut self, argument: &Argument) -> Option<Urn> {
        let urn = self.typed_urn(&argument.value, &[Metatype::Uom, Metatype::Enum])?;
        let is_known = match urn.metatype() {
            Metatype::Uom => crate::units::is_unit(urn.path()),
            _ => self.identity(&urn).is_some(),
        };
        if !is_known {
            self.warning(TDM3004, argument.value.span(), format!("`{urn}` is no known unit"));
        }
        Some(urn)
    }

    fn flag(&mut self, directive: &Directive, name: &str) -> bool {
        directive.argument(name).and_then(|argument| self.boolean(&argument.value)).unwrap_or(false)
    }

    fn float(&mut self, argument: &Argument) -> Option<f64> {
        let text = self.text_of(&argument.value)?;
        let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_none() {
            self.error(TDM3010, argument.value.span(), "expected a number");
        }
        number
    }

    fn length_facets(&mut self, directive: &Directive, property: &mut Property) {
        let least = directive.argument("minLength");
        let most = directive.argument("maxLength");
        let Some(first) = least.or(most) else { return };
        if !matches!(property.shape, PropertyShape::Primitive(primitive) if primitive.is_textual()) {
            self.error(TDM3010, first.name.span(), "length facets go with text only");
            return;
        }
        let mut read = |argument: Option<&Argument>| {
            let length = self.integer(&argument?.value, 0..=i64::from(u32::MAX), TDM3010)?;
            u64::try_from(length).ok()
        };
        property.min_length = read(least);
        property.max_length = read(most);
        let greatest = property.max_length.unwrap_or(marram_expr::types::DEFAULT_MAX_LENGTH);
        if property.min_length.is_some_and(|least| least > greatest) {
            self.error(TDM3010, first.name.span(), format!("minLength is greater than maxLength, which is {greatest}"));
        }
    }

    fn range_facets(&mut self, directive: &Directive, property: &mut Property) {
        let either = |long: &str, short: &str| directive.argument(long).or_else(|| directive.argument(short));
        let (least, most) = (either("minValue", "min"), either("maxValue", "max"));
        let Some(first) = least.or(most) else { return };
        let primitive = match property.shape {
            PropertyShape::Primitive(primitive) if primitive.is_numeric() => primitive,
            _ => {
                self.error(TDM3010, first.name.span(), "value range facets go with numbers only");
                return;
            }
        };
        property.min_value = least.and_then(|argument| self.bound(argument, primitive));
        property.max_value = most.and_then(|argument| self.bound(argument, primitive));
        let is_empty = match (property.min_value, property.max_value) {
            (Some(least), Some(most)) => match (least.as_integer(), most.as_integer()) {
                (Some(least), Some(most)) => least > most,
                _ => least.as_f64() > most.as_f64(),
            },
            _ => false,
        };
        if is_empty {
            self.error(TDM3010, first.name.span(), "minValue is greater than maxValue");
        }
    }

    fn bound(&mut self, argument: &Argument, primitive: Primitive) -> Option<Bound> {
        let text = self.text_of(&argument.value)?;
        let text = text.trim();
        let bound = match primitive.integer_range() {
            Some((least, most)) => {
                // `1e3` and `20.0` are whole numbers too
                let whole = text.parse::<i128>().ok().or_else(|| whole_float(text));
                whole.filter(|value| (least..=most).contains(value)).and_then(Bound::integer)
            }
            None => {
                let limit = primitive.float_limit().unwrap_or(f64::MAX);
                text.parse::<f64>().ok().filter(|value| value.abs() <= limit).map(Bound::Float)
            }
        };
        if bound.is_none() {
            self.error(TDM3010, argument.value.span(), format!("not a value of {primitive}"));
        }
        bound
    }

    pub fn enumeration(&mut self, one: &Declared<'_>) -> Option<Enum> {
        let Body::Enum { members: written } = &one.definition.body else { return None };
        self.known_arguments(one.directive.arguments.as_ref(), &["id", "SemTypeId", "description", "name"]);
        if !self.has_room(written.len(), 0, one.definition.name.span()) {
            return None;
        }
        let mut names = Taken::default();
        let mut values = std::collections::BTreeMap::new();
        let mut members: Vec<EnumMember> = Vec::new();
        let mut next: i64 = 0;
        for member in written {
            if let Some(first) = names.take(&member.name.text, member.name.span()) {
                let message = format!("the enum has two members `{}`", member.name.text);
                self.findings.push(twice(TDM3011, member.name.span(), message, first));
            }
            self.known_directives(&member.directives, &["enumValue"]);
            let directive = member.directives.iter().find(|directive| directive.name.is("enumValue"));
            let mut place = member.name.span();
            if let Some(directive) = directive {
                self.known_arguments(directive.arguments.as_ref(), &["value", "description"]);
                let argument = self.required(directive, "value")?;
                place = argument.value.span();
                next = self.integer(&argument.value, i32::MIN.into()..=i32::MAX.into(), TDM3011)?;
            }
            let Ok(value) = i32::try_from(next) else {
                self.error(TDM3011, place, "the member's value does not fit 32 bits");
                return None;
            };
            if let Some(first) = values.insert(value, place) {
                let message = format!("the enum has two members with the value {value}");
                self.findings.push(twice(TDM3011, place, message, first));
            }
            next += 1;
            members.push(EnumMember { name: member.name.text.clone(), value });
        }
        Some(Enum { members })
    }

    /// The literal of a property field's default, if its kind can be read at all.
    pub fn default_value(&mut self, argument: &Argument) -> Option<serde_json::Value> {
        if matches!(argument.value.kind, ValueKind::Variable(_)) {
            self.error(TDM3010, argument.value.span(), "a default is a constant");
            return None;
        }
        self.constant(&argument.value)
    }
}

#[allow(clippy::cast_possible_truncation)] // the range is tested first
fn whole_float(text: &str) -> Option<i128> {
    let value = text.parse::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() < 1e20).then_some(value as i128)
}
