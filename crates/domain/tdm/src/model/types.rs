//! Model properties in the words of the expression language: types by value, shared.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marram_expr::{ComplexType, DataType, EnumType, PropertyType, Value};
use smol_str::SmolStr;

use super::{Bound, Device, Entity, EntityKind, Field, Model, Primitive, PropertyShape, Urn};

/// Turns properties into [`PropertyType`]s, each once.
pub struct TypeTable<'l> {
    lookup: &'l dyn Fn(&Urn) -> Option<Arc<Entity>>,
    made: RefCell<MadeTypes>,
    /// Properties being made: one that contains itself is read as Json inside itself.
    open: RefCell<BTreeSet<Urn>>,
}

/// Types by property.
pub(crate) type MadeTypes = BTreeMap<Urn, Arc<PropertyType>>;

impl Model {
    /// The runtime type of a property of this model. For many of them make one [`TypeTable`].
    pub fn property_type(&self, id: &Urn) -> Option<Arc<PropertyType>> {
        TypeTable::new(&|id| self.get(id).cloned()).property(id)
    }
}

impl<'l> TypeTable<'l> {
    /// A table over entities found by `lookup`.
    pub fn new(lookup: &'l dyn Fn(&Urn) -> Option<Arc<Entity>>) -> Self {
        TypeTable { lookup, made: RefCell::default(), open: RefCell::default() }
    }

    /// A table that starts with what another one over the same entities made.
    pub(crate) fn resumed(lookup: &'l dyn Fn(&Urn) -> Option<Arc<Entity>>, made: MadeTypes) -> Self {
        TypeTable { lookup, made: RefCell::new(made), open: RefCell::default() }
    }

    /// What was made, for [`Self::resumed`].
    pub(crate) fn into_made(self) -> MadeTypes {
        self.made.into_inner()
    }

    /// The type of a property; `None` when it does not exist or is abstract.
    pub fn property(&self, id: &Urn) -> Option<Arc<PropertyType>> {
        if let Some(made) = self.made.borrow().get(id) {
            return Some(made.clone());
        }
        let entity = (self.lookup)(id)?;
        let EntityKind::Property(property) = &entity.kind else { return None };
        if !self.open.borrow_mut().insert(entity.id.clone()) {
            return Some(Arc::new(PropertyType::built_in(DataType::Json)));
        }
        let data_type = self.shape(&entity.id, &property.shape);
        self.open.borrow_mut().remove(&entity.id);
        let mut made = PropertyType::new(entity.id.as_str(), data_type?);
        made.min_length = property.min_length;
        made.max_length = property.max_length;
        made.min_value = property.min_value.and_then(|bound| bound_value(bound, &property.shape));
        made.max_value = property.max_value.and_then(|bound| bound_value(bound, &property.shape));
        let made = Arc::new(made);
        self.made.borrow_mut().insert(id.clone(), made.clone());
        Some(made)
    }

    fn shape(&self, id: &Urn, shape: &PropertyShape) -> Option<DataType> {
        match shape {
            PropertyShape::Primitive(primitive) => Some((*primitive).into()),
            PropertyShape::Abstract => None,
            PropertyShape::Enum(id) => Some(DataType::Enum(Arc::new(self.enum_type(id)?))),
            PropertyShape::Complex(state) => {
                let entity = (self.lookup)(state)?;
                let EntityKind::State(state) = &entity.kind else { return None };
                let fields = state.fields.iter().filter_map(|field| self.field(field)).collect();
                let id = SmolStr::new(id.as_str());
                Some(DataType::Complex(Arc::new(ComplexType { id, name: entity.name.clone(), fields })))
            }
        }
    }

    fn enum_type(&self, id: &Urn) -> Option<EnumType> {
        let entity = (self.lookup)(id)?;
        let EntityKind::Enum(declared) = &entity.kind else { return None };
        let members = declared.members.iter();
        let members = members.map(|member| marram_expr::EnumMember { name: member.name.clone(), value: member.value });
        Some(EnumType { id: SmolStr::new(entity.id.as_str()), name: entity.name.clone(), members: members.collect() })
    }

    /// The type of a state field, action input or action result.
    pub fn field(&self, field: &Field) -> Option<marram_expr::Field> {
        let property = self.property(&field.property)?;
        let default = field.default.as_ref().map(Value::from_json);
        let default = default.and_then(|value| property.coerce_multi(&value, field.is_list).ok());
        Some(marram_expr::Field {
            name: field.name.clone(),
            device_name: None,
            property,
            is_list: field.is_list,
            is_required: field.is_required,
            default,
            condition: field.condition.clone(),
            expr: field.expr.clone(),
        })
    }

    /// The type of a property as one device sends it: fields of its state also answer to the device-side names of the
    /// `state` block (TG 10.2).
    pub fn property_of_device(&self, id: &Urn, device: &Device) -> Option<Arc<PropertyType>> {
        let made = self.property(id)?;
        let DataType::Complex(complex) = &made.data_type else { return Some(made) };
        let renamed: Vec<_> = device.state.iter().filter(|binding| binding.device_name != binding.field).collect();
        if renamed.is_empty() {
            return Some(made);
        }
        let mut complex = ComplexType::clone(complex);
        for field in &mut complex.fields {
            let binding = renamed.iter().find(|binding| {
                binding.field.eq_ignore_ascii_case(&field.name) && binding.property.as_str() == field.property.id
            });
            field.device_name = binding.map(|binding| binding.device_name.clone());
        }
        let mut made = PropertyType::clone(&made);
        made.data_type = DataType::Complex(Arc::new(complex));
        Some(Arc::new(made))
    }
}

/// A bound as a value of the property's own type.
#[allow(clippy::cast_possible_truncation)] // the checker refused bounds outside the type
fn bound_value(bound: Bound, shape: &PropertyShape) -> Option<Value> {
    let PropertyShape::Primitive(primitive) = shape else { return None };
    if let Some(value) = bound.as_integer() {
        return Some(match primitive {
            Primitive::Int8 => Value::Int8(value as i8),
            Primitive::Int16 => Value::Int16(value as i16),
            Primitive::Int32 => Value::Int32(value as i32),
            Primitive::Int64 => Value::Int64(value as i64),
            Primitive::UInt8 => Value::UInt8(value as u8),
            Primitive::UInt16 => Value::UInt16(value as u16),
            Primitive::UInt32 => Value::UInt32(value as u32),
            Primitive::UInt64 => Value::UInt64(value as u64),
            Primitive::Float32 => Value::Float32(bound.as_f64() as f32),
            _ => Value::Float64(bound.as_f64()),
        });
    }
    Some(match primitive {
        Primitive::Float32 => Value::Float32(bound.as_f64() as f32),
        _ => Value::Float64(bound.as_f64()),
    })
}
