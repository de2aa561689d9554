//! Devices and services: actions, events, protocol operations.

use std::sync::Arc;

use marram_expr::{PropertyType, Value};
use marram_flow::program::{
    Action, ActionInput, Device, EventSource, HttpOperation, ModbusFunction, Operation, ParamValue, PublishResponse,
    RequestParam, Service, SigV4Scope,
};
use marram_tdm::model::{self, EntityKind, HttpMethod, Protocol, Urn};
use smol_str::SmolStr;

use super::{LowerError, World, listed};

/// A device entity.
pub(super) fn device(world: &World<'_>, id: &Urn) -> Result<Device, LowerError> {
    let entity = world.entity(id)?;
    let EntityKind::Device(device) = &entity.kind else {
        return Err(LowerError(format!("{id} is no device")));
    };
    let actions = device.actions.iter().map(|found| action(world, found, device.protocol, Some(device)));
    let actions = actions.collect::<Result<_, _>>()?;
    let events = device.events.iter().map(|event| {
        let payload = event.payload.as_ref().map(|payload| received(world, payload, Some(device))).transpose()?;
        Ok(EventSource { name: event.name.clone(), topic: event.topic.clone(), payload })
    });
    Ok(Device {
        id: SmolStr::new(entity.id.as_str()),
        models: vec![SmolStr::new(device.model.as_str())],
        actions,
        events: events.collect::<Result<_, LowerError>>()?,
    })
}

/// A service entity.
pub(super) fn service(world: &World<'_>, id: &Urn) -> Result<Service, LowerError> {
    let entity = world.entity(id)?;
    let EntityKind::Service(service) = &entity.kind else {
        return Err(LowerError(format!("{id} is no service")));
    };
    let actions = service.actions.iter().map(|found| action(world, found, service.protocol, None));
    Ok(Service { id: SmolStr::new(entity.id.as_str()), actions: actions.collect::<Result<_, _>>()? })
}

/// A property as a device sends it: fields answer to the names of its `state` block too (TG 10.2).
fn received(world: &World<'_>, id: &Urn, device: Option<&model::Device>) -> Result<Arc<PropertyType>, LowerError> {
    match device {
        Some(device) => {
            world.types.property_of_device(id, device).ok_or_else(|| LowerError(format!("{id} is no usable property")))
        }
        None => world.property(id, false),
    }
}

fn action(
    world: &World<'_>,
    found: &model::DeviceAction,
    protocol: Protocol,
    device: Option<&model::Device>,
) -> Result<Action, LowerError> {
    let ty = world.action(&found.action)?;
    let inputs = ty.inputs.iter().map(|input| {
        let property = world.property(&input.property, input.is_list)?;
        let default = input.default.as_ref().map(|default| property.coerce(&Value::from_json(default)));
        let default = default.transpose().map_err(|error| LowerError(error.message))?;
        Ok(ActionInput {
            name: input.name.clone(),
            property,
            is_required: input.is_required,
            default,
            is_secret: world.is_secret(&input.property),
        })
    });
    let inputs = inputs.collect::<Result<_, LowerError>>()?;
    let returns = ty.returns.as_ref().map(|returns| world.property(&returns.property, returns.is_list)).transpose()?;
    let is_list = ty.returns.as_ref().is_some_and(|returns| returns.is_list);
    let response = found.response.as_ref();
    let answer = response.and_then(|response| response.property.as_ref());
    let answer = answer.map(|id| received(world, id, device)).transpose()?;
    let answer = answer.map(|property| if is_list { listed(&property) } else { property });
    let operation = match &found.operation {
        model::Operation::Publish { topic, params } => Operation::Publish {
            topic: topic.clone(),
            params: request_params(world, params)?,
            response: response
                .and_then(|response| response.topic.clone())
                .map(|topic| PublishResponse { topic, property: answer }),
        },
        model::Operation::Modbus(request) => {
            let Protocol::Modbus { server_id } = protocol else {
                return Err(LowerError(format!("{} is no Modbus action", found.name)));
            };
            Operation::Modbus {
                unit: server_id,
                function: modbus(request),
                params: request_params(world, &request.params)?,
            }
        }
        model::Operation::Http { method, url, sign_for, region, headers, query, body } => {
            Operation::Http(Box::new(HttpOperation {
                method: SmolStr::new_static(method_name(*method)),
                url: url.clone(),
                sigv4: sign_for.clone().map(|service| SigV4Scope { service, region: region.clone() }),
                headers: request_params(world, headers)?,
                query: request_params(world, query)?,
                body: request_params(world, body)?,
                response: answer,
            }))
        }
        model::Operation::Function { arn, params, .. } => {
            Operation::Function { arn: arn.clone(), params: request_params(world, params)?, response: answer }
        }
    };
    Ok(Action { name: found.name.clone(), inputs, returns, operation })
}

fn request_params(world: &World<'_>, params: &[model::RequestParam]) -> Result<Vec<RequestParam>, LowerError> {
    let params = params.iter().map(|param| {
        Ok(RequestParam {
            name: param.name.clone(),
            property: world.optional_property(param.property.as_ref())?,
            value: param.value.clone().map_or(ParamValue::Input, ParamValue::Expr),
        })
    });
    params.collect()
}

fn method_name(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Delete => "DELETE",
    }
}

fn modbus(request: &model::ModbusRequest) -> ModbusFunction {
    let (address, count) = (request.address, request.read_count);
    match request.function {
        model::ModbusFunction::ReadCoils => ModbusFunction::ReadCoils { address, count },
        model::ModbusFunction::ReadDiscreteInputs => ModbusFunction::ReadDiscreteInputs { address, count },
        model::ModbusFunction::ReadHoldingRegisters => ModbusFunction::ReadHoldingRegisters { address, count },
        model::ModbusFunction::ReadInputRegisters => ModbusFunction::ReadInputRegisters { address, count },
        model::ModbusFunction::WriteSingleCoil => ModbusFunction::WriteSingleCoil { address },
        model::ModbusFunction::WriteSingleRegister => ModbusFunction::WriteSingleRegister { address },
        model::ModbusFunction::WriteMultipleCoils => {
            ModbusFunction::WriteMultipleCoils { address, count: request.write_count }
        }
        model::ModbusFunction::WriteMultipleRegisters => {
            ModbusFunction::WriteMultipleRegisters { address, count: request.write_count }
        }
        model::ModbusFunction::MaskWriteRegister => ModbusFunction::MaskWriteRegister { address },
        model::ModbusFunction::ReadWriteMultipleRegisters => ModbusFunction::ReadWriteMultipleRegisters {
            read_address: address,
            read_count: count,
            write_address: request.write_address.unwrap_or(0),
        },
    }
}
