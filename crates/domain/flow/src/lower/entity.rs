//! Devices and services: protocol operations with their types.

use std::sync::Arc;

use marram_expr::Value;
use marram_tdm::model::{
    Activity, DeviceAction, EntityKind, Flow as CheckedFlow, HttpMethod, ModbusFunction as Function, ModbusRequest,
    Operation as Spoken, Protocol, RequestParam as Param, Response, Urn,
};
use smol_str::SmolStr;

use super::{Lower, LowerError, index, listed, missing};
use crate::program::{
    Action, ActionInput, Device, EventSource, HttpOperation, ModbusFunction, Operation, ParamValue, PublishResponse,
    RequestParam, Service, SigV4Scope, Site,
};

impl Lower<'_> {
    /// The index of device entity `id` on `site`, lowered when it is new.
    pub(super) fn site_device(&self, site: &mut Site, id: &Urn) -> Result<u16, LowerError> {
        if let Some(at) = site.devices.iter().position(|device| device.id.eq_ignore_ascii_case(id.as_str())) {
            return u16::try_from(at).map_err(|_| LowerError::TooMany("devices"));
        }
        let at = index(&site.devices, "devices")?;
        let device = self.device(id)?;
        site.devices.push(device);
        Ok(at)
    }

    /// Adds the pinned devices and the services of a flow.
    pub(super) fn site_activities(&self, site: &mut Site, flow: &CheckedFlow) -> Result<(), LowerError> {
        for step in &flow.steps {
            match &step.activity {
                Activity::Device { pinned: Some(pinned), .. } => drop(self.site_device(site, pinned)?),
                Activity::Service { service, .. } => {
                    if !site.services.iter().any(|known| known.id.eq_ignore_ascii_case(service.as_str())) {
                        index(&site.services, "services")?;
                        site.services.push(self.service(service)?);
                    }
                }
                Activity::Device { .. } | Activity::Choice(_) => {}
            }
        }
        Ok(())
    }

    fn device(&self, id: &Urn) -> Result<Device, LowerError> {
        let entity = self.entity(id)?;
        let EntityKind::Device(device) = &entity.kind else { return Err(missing(id)) };
        let actions = device.actions.iter().map(|action| self.action(action, device.protocol, Some(device)));
        let events = device.events.iter().map(|event| {
            let payload = event.payload.as_ref().map(|id| self.device_property(id, Some(device), false)).transpose()?;
            let topic = event.topic.clone();
            Ok(EventSource { name: event.name.clone(), topic, payload })
        });
        Ok(Device {
            id: entity.id.as_str().into(),
            models: vec![device.model.as_str().into()],
            actions: actions.collect::<Result<_, _>>()?,
            events: events.collect::<Result<_, LowerError>>()?,
        })
    }

    fn service(&self, id: &Urn) -> Result<Service, LowerError> {
        let entity = self.entity(id)?;
        let EntityKind::Service(service) = &entity.kind else { return Err(missing(id)) };
        let actions = service.actions.iter().map(|action| self.action(action, service.protocol, None));
        Ok(Service { id: entity.id.as_str().into(), actions: actions.collect::<Result<_, _>>()? })
    }

    /// A property as the device sends it.
    fn device_property(
        &self,
        id: &Urn,
        device: Option<&marram_tdm::model::Device>,
        is_list: bool,
    ) -> Result<Arc<marram_expr::PropertyType>, LowerError> {
        match device.and_then(|device| self.types.property_of_device(id, device)) {
            Some(property) => Ok(listed(property, is_list)),
            None => self.property(id, is_list),
        }
    }

    fn action(
        &self,
        spoken: &DeviceAction,
        protocol: Protocol,
        device: Option<&marram_tdm::model::Device>,
    ) -> Result<Action, LowerError> {
        let entity = self.entity(&spoken.action)?;
        let EntityKind::Action(kind) = &entity.kind else { return Err(missing(&spoken.action)) };
        let mut inputs = Vec::with_capacity(kind.inputs.len());
        for input in &kind.inputs {
            let property = self.property(&input.property, input.is_list)?;
            let default = input.default.as_ref().map(Value::from_json);
            inputs.push(ActionInput {
                name: input.name.clone(),
                default: default.and_then(|value| property.coerce(&value).ok()),
                property,
                is_required: input.is_required,
                is_secret: self.is_secret(&input.property),
            });
        }
        let returns = kind.returns.as_ref();
        let returned = returns.map(|field| self.device_property(&field.property, device, field.is_list)).transpose()?;
        // What arrives is the declared response property; the action's own when the document gives none.
        let response = |response: &Response| -> Result<_, LowerError> {
            let is_list = returns.is_some_and(|field| field.is_list);
            let declared =
                response.property.as_ref().map(|id| self.device_property(id, device, is_list)).transpose()?;
            Ok(declared.or_else(|| returned.clone()))
        };
        let answer = || spoken.response.as_ref().map(response).transpose().map(Option::flatten);
        let operation = match &spoken.operation {
            Spoken::Publish { topic, params } => {
                let response = match &spoken.response {
                    Some(Response { topic: Some(topic), .. }) => {
                        Some(PublishResponse { topic: topic.clone(), property: answer()? })
                    }
                    _ => None,
                };
                Operation::Publish { topic: topic.clone(), params: self.params(params)?, response }
            }
            Spoken::Modbus(request) => {
                let unit = match protocol {
                    Protocol::Modbus { server_id } => server_id,
                    _ => 0,
                };
                Operation::Modbus { unit, function: modbus(request), params: self.params(&request.params)? }
            }
            Spoken::Http { method, url, sign_for, region, headers, query, body } => {
                Operation::Http(Box::new(HttpOperation {
                    method: method_name(*method),
                    url: url.clone(),
                    sigv4: sign_for
                        .as_ref()
                        .map(|service| SigV4Scope { service: service.clone(), region: region.clone() }),
                    headers: self.params(headers)?,
                    query: self.params(query)?,
                    body: self.params(body)?,
                    response: answer()?,
                }))
            }
            Spoken::Function { arn, params, .. } => {
                Operation::Function { arn: arn.clone(), params: self.params(params)?, response: answer()? }
            }
        };
        Ok(Action { name: spoken.name.clone(), inputs, returns: returned, operation })
    }

    fn params(&self, params: &[Param]) -> Result<Vec<RequestParam>, LowerError> {
        let lowered = params.iter().map(|param| {
            Ok(RequestParam {
                name: param.name.clone(),
                property: param.property.as_ref().map(|id| self.property(id, false)).transpose()?,
                value: param.value.clone().map_or(ParamValue::Input, ParamValue::Expr),
            })
        });
        lowered.collect()
    }
}

fn method_name(method: HttpMethod) -> SmolStr {
    SmolStr::new_static(match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Delete => "DELETE",
    })
}

fn modbus(request: &ModbusRequest) -> ModbusFunction {
    let ModbusRequest { address, read_count, write_address, write_count, .. } = *request;
    match request.function {
        Function::ReadCoils => ModbusFunction::ReadCoils { address, count: read_count },
        Function::ReadDiscreteInputs => ModbusFunction::ReadDiscreteInputs { address, count: read_count },
        Function::ReadHoldingRegisters => ModbusFunction::ReadHoldingRegisters { address, count: read_count },
        Function::ReadInputRegisters => ModbusFunction::ReadInputRegisters { address, count: read_count },
        Function::WriteSingleCoil => ModbusFunction::WriteSingleCoil { address },
        Function::WriteSingleRegister => ModbusFunction::WriteSingleRegister { address },
        Function::WriteMultipleCoils => ModbusFunction::WriteMultipleCoils { address, count: write_count },
        Function::WriteMultipleRegisters => ModbusFunction::WriteMultipleRegisters { address, count: write_count },
        Function::MaskWriteRegister => ModbusFunction::MaskWriteRegister { address },
        Function::ReadWriteMultipleRegisters => ModbusFunction::ReadWriteMultipleRegisters {
            read_address: address,
            read_count,
            write_address: write_address.unwrap_or(address),
        },
    }
}
