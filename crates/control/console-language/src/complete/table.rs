//! What the grammar allows where, as tables: blocks, arguments, directives (TG sections 2 and 3).

use marram_tdm::model::Metatype;

/// Definition directives by keyword.
pub(super) const DEFINITIONS: [(&str, &str, Metatype); 13] = [
    ("type", "propertyType", Metatype::Property),
    ("enum", "enumType", Metatype::Enum),
    ("type", "stateType", Metatype::State),
    ("type", "eventType", Metatype::Event),
    ("type", "actionType", Metatype::Action),
    ("type", "capabilityType", Metatype::Capability),
    ("query", "mapping", Metatype::Mapping),
    ("type", "deviceModel", Metatype::DeviceModel),
    ("query", "device", Metatype::Device),
    ("query", "service", Metatype::Service),
    ("query", "workflowType", Metatype::Workflow),
    ("type", "systemType", Metatype::System),
    ("query", "deployment", Metatype::Deployment),
];

/// Directives beside the definition directive.
pub(super) const SIDE_DIRECTIVES: [&str; 3] = ["triggers", "annotation", "position"];

/// Directives of a field or selection, by what the definition defines.
pub(super) fn usages(metatype: Metatype) -> &'static [&'static str] {
    match metatype {
        Metatype::State | Metatype::Action => &["property"],
        Metatype::Capability => &["state", "action", "event"],
        Metatype::System => &["thing", "workflow", "service", "system", "position"],
        Metatype::Enum => &["enumValue"],
        Metatype::Workflow => &["position", "device", "property"],
        _ => &["position"],
    }
}

/// Arguments of a directive.
pub(super) fn directive_arguments(directive: &str) -> &'static [&'static str] {
    let known: [(&str, &[&str]); 22] = [
        (
            "propertyType",
            &[
                "id",
                "dataType",
                "instanceOf",
                "description",
                "uom",
                "accuracy",
                "isAbstract",
                "isGlobalId",
                "minLength",
                "maxLength",
                "minValue",
                "maxValue",
                "name",
            ],
        ),
        ("enumType", &["id", "description"]),
        ("enumValue", &["value"]),
        ("stateType", &["id", "description"]),
        ("eventType", &["id", "payload", "description"]),
        ("actionType", &["id", "description"]),
        ("capabilityType", &["id", "description"]),
        ("mapping", &["id", "from", "to", "description"]),
        ("deviceModel", &["id", "capability", "description"]),
        ("device", &["id", "deviceModel", "description"]),
        ("service", &["id", "description"]),
        ("workflowType", &["id", "description"]),
        ("systemType", &["id", "description"]),
        ("deployment", &["id", "systemId", "namespaceVersion", "description"]),
        ("property", &["id", "isRequired", "default", "condition", "expr", "isReadOnly", "multiplicity"]),
        ("state", &["id"]),
        ("action", &["id"]),
        ("event", &["id"]),
        ("thing", &["id"]),
        ("workflow", &["id"]),
        ("system", &["id"]),
        ("position", &["x", "y"]),
    ];
    known.iter().find(|(name, _)| name.eq_ignore_ascii_case(directive)).map_or(&[], |(_, arguments)| arguments)
}

/// What an argument of a directive refers to.
pub(super) fn directive_reference(directive: &str, argument: &str) -> &'static [Metatype] {
    let known: [(&str, &str, &[Metatype]); 17] = [
        ("propertyType", "instanceOf", &[Metatype::State, Metatype::Property]),
        ("propertyType", "dataType", &[Metatype::Enum]),
        ("eventType", "payload", &[Metatype::Property]),
        ("deviceModel", "capability", &[Metatype::Capability]),
        ("device", "deviceModel", &[Metatype::DeviceModel]),
        ("device", "id", &[Metatype::Device]),
        ("deployment", "systemId", &[Metatype::System]),
        ("property", "id", &[Metatype::Property]),
        ("state", "id", &[Metatype::State]),
        ("action", "id", &[Metatype::Action]),
        ("event", "id", &[Metatype::Event]),
        ("enum", "id", &[Metatype::Enum]),
        ("thing", "id", &[Metatype::DeviceModel, Metatype::Device]),
        ("workflow", "id", &[Metatype::Workflow]),
        ("service", "id", &[Metatype::Service]),
        ("system", "id", &[Metatype::System]),
        ("capability", "id", &[Metatype::Capability]),
    ];
    let found = known
        .iter()
        .find(|(name, member, _)| name.eq_ignore_ascii_case(directive) && member.eq_ignore_ascii_case(argument));
    found.map_or(&[], |(_, _, metatypes)| metatypes)
}

const MODBUS: [&str; 8] = [
    "ReadCoils",
    "ReadDiscreteInputs",
    "ReadHoldingRegisters",
    "ReadInputRegisters",
    "WriteSingleCoil",
    "WriteSingleRegister",
    "WriteMultipleCoils",
    "WriteMultipleRegisters",
];

/// Children of a block of a flow, by its name; `""` is the definition's own.
pub(super) fn flow_blocks(block: &str) -> &'static [&'static str] {
    lookup(
        block,
        &[
            ("", &["variables", "steps"]),
            ("steps", &["step"]),
            ("step", &["DeviceActivity", "WebServiceActivity", "ChoiceActivity", "OnError", "OnSuccess"]),
            ("ChoiceActivity", &["rule", "default"]),
            ("rule", &["setEvent", "setVariable"]),
            ("default", &["setEvent", "setVariable"]),
            ("OnError", &["Retries", "Catches"]),
            ("Retries", &["Retry"]),
            ("Catches", &["Catch"]),
            ("OnSuccess", &["Check"]),
            ("Check", &["OnPass", "OnFail"]),
            ("OnPass", &["stmt"]),
            ("OnFail", &["stmt"]),
        ],
    )
}

/// Children of a block of a device (`protocol` in lower case) or service.
pub(super) fn device_blocks(depth: usize, block: &str, protocol: &str, is_device: bool) -> Vec<&'static str> {
    let operations: &[&str] = match protocol {
        "modbus" => &MODBUS,
        "rest" | "http" => &["HttpGet", "HttpPost", "HttpPut", "HttpPatch", "HttpDelete"],
        "awslambda" => &["InvokeCloudLambda", "InvokeGreengrassLambda"],
        _ => &["Publish"],
    };
    match depth {
        0 if is_device => vec!["MQTT", "Modbus", "HTTP"],
        0 => vec!["REST", "AwsLambda"],
        1 => vec!["Capability"],
        2 if is_device => vec!["state", "Action", "Event"],
        2 => vec!["Action"],
        _ => {
            let inner = lookup(
                block,
                &[
                    ("params", &["param"]),
                    ("headerParams", &["param"]),
                    ("queryParams", &["param"]),
                    ("bodyParams", &["param"]),
                    ("Request", &["params", "headerParams", "queryParams", "bodyParams"]),
                    ("Response", &["responsePayload"]),
                    ("Subscribe", &["responsePayload"]),
                    ("Event", &["Subscribe"]),
                ],
            );
            if block.eq_ignore_ascii_case("Action") {
                return std::iter::once("params").chain(operations.iter().copied()).collect();
            }
            if inner.is_empty() && depth == 4 { vec!["Request", "Response"] } else { inner.to_vec() }
        }
    }
}

/// Arguments of a selection of a flow, deployment, device or service.
pub(super) fn selection_arguments(selection: &str) -> &'static [&'static str] {
    lookup(
        selection,
        &[
            ("step", &["name", "description", "inEvent", "outEvent", "condition", "timeout"]),
            ("DeviceActivity", &["deviceModel", "deviceId", "out"]),
            ("WebServiceActivity", &["webservice", "out"]),
            ("rule", &["name", "expr"]),
            ("setEvent", &["name"]),
            ("setVariable", &["name", "value"]),
            ("Retry", &["name", "errorEquals", "condition", "interval", "backoffRate", "maxAttempts"]),
            ("Catch", &["name", "errorEquals", "condition", "raiseEvent", "expr"]),
            ("Check", &["name", "condition"]),
            ("stmt", &["expr"]),
            ("condition", &["expr"]),
            ("action", &["expr"]),
            ("Capability", &["id"]),
            ("Modbus", &["serverId"]),
            ("Event", &["name"]),
            (
                "Request",
                &["topic", "url", "auth", "awsServiceName", "region", "arn", "Address", "ReadCount", "WriteCount"],
            ),
            ("Response", &["topic"]),
            ("Subscribe", &["topic"]),
            ("param", &["name", "property", "value"]),
            ("responsePayload", &["property"]),
        ],
    )
}

/// Names of errors a clause may match (TG 6.5).
pub(super) const ERRORS: [&str; 17] = [
    "States.ALL",
    "TG.Timeout",
    "TG.TaskFailed",
    "TG.PayloadInvalid",
    "TG.ModbusException",
    "TG.ModbusIO",
    "TG.Http.4xx",
    "TG.Http.5xx",
    "TG.Permission",
    "TG.RequestInvalid",
    "TG.DeviceNotBound",
    "TG.RuntimeRestarted",
    "TG.ExpressionError",
    "TG.TypeError",
    "TG.MappingGap",
    "TG.LoopLimit",
    "TG.Function.",
];

/// Data types of TG 1.4.
pub(super) const DATA_TYPES: [&str; 20] = [
    "String",
    "Boolean",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float32",
    "Float64",
    "Urn",
    "Arn",
    "Uri",
    "DateTime",
    "Date",
    "Duration",
    "Json",
    "EntityType",
];

fn lookup(name: &str, table: &[(&str, &'static [&'static str])]) -> &'static [&'static str] {
    table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(&[], |(_, found)| found)
}
