//! The tables of iot-data, API version 2015-05-28. Written by `cargo xtask codegen`; do not edit.

#![allow(non_upper_case_globals, unused_imports)]

use super::build::*;

/// The service.
pub static SERVICE: Service = Service {
    id: ServiceId::IotData,
    name: "iot-data",
    protocol: Protocol::RestJson,
    api_version: "2015-05-28",
    signing_names: &["iotdata", "iotdevicegateway"],
    target_prefix: "",
    xml_namespace: "",
    event_source: "iot.amazonaws.com",
    operations: &OPERATIONS,
    errors: &[&E_ConflictException, &E_ForbiddenException, &E_GatewayTimeoutException, &E_InternalFailureException, &E_InvalidRequestException, &E_MethodNotAllowedException, &E_RequestEntityTooLargeException, &E_ResourceNotFoundException, &E_ServiceUnavailableException, &E_ThrottlingException, &E_UnauthorizedException, &E_UnsupportedDocumentEncodingException],
};

static OPERATIONS: [Operation; 11] = [
    Operation { service: ServiceId::IotData, name: "DeleteConnection", method: "DELETE", path: "/connections/{clientId}", status: 200, input: Some(&S_DeleteConnectionRequest), output: None, errors: &[&E_ForbiddenException, &E_ResourceNotFoundException, &E_InvalidRequestException, &E_ThrottlingException, &E_InternalFailureException], read_only: false, iam_action: "iot:DeleteConnection", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "DeleteThingShadow", method: "DELETE", path: "/things/{thingName}/shadow", status: 200, input: Some(&S_DeleteThingShadowRequest), output: Some(&S_DeleteThingShadowResponse), errors: &[&E_ResourceNotFoundException, &E_InvalidRequestException, &E_ThrottlingException, &E_UnauthorizedException, &E_ServiceUnavailableException, &E_InternalFailureException, &E_MethodNotAllowedException, &E_UnsupportedDocumentEncodingException], read_only: false, iam_action: "iot:DeleteThingShadow", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "GetConnection", method: "GET", path: "/connections/{clientId}", status: 200, input: Some(&S_GetConnectionRequest), output: Some(&S_GetConnectionResponse), errors: &[&E_InvalidRequestException, &E_ForbiddenException, &E_ResourceNotFoundException, &E_ThrottlingException, &E_InternalFailureException], read_only: true, iam_action: "iot:GetConnection", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "GetRetainedMessage", method: "GET", path: "/retainedMessage/{topic}", status: 200, input: Some(&S_GetRetainedMessageRequest), output: Some(&S_GetRetainedMessageResponse), errors: &[&E_InvalidRequestException, &E_ResourceNotFoundException, &E_ThrottlingException, &E_UnauthorizedException, &E_ServiceUnavailableException, &E_InternalFailureException, &E_MethodNotAllowedException], read_only: true, iam_action: "iot:GetRetainedMessage", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "GetThingShadow", method: "GET", path: "/things/{thingName}/shadow", status: 200, input: Some(&S_GetThingShadowRequest), output: Some(&S_GetThingShadowResponse), errors: &[&E_InvalidRequestException, &E_ResourceNotFoundException, &E_ThrottlingException, &E_UnauthorizedException, &E_ServiceUnavailableException, &E_InternalFailureException, &E_MethodNotAllowedException, &E_UnsupportedDocumentEncodingException], read_only: true, iam_action: "iot:GetThingShadow", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "ListNamedShadowsForThing", method: "GET", path: "/api/things/shadow/ListNamedShadowsForThing/{thingName}", status: 200, input: Some(&S_ListNamedShadowsForThingRequest), output: Some(&S_ListNamedShadowsForThingResponse), errors: &[&E_ResourceNotFoundException, &E_InvalidRequestException, &E_ThrottlingException, &E_UnauthorizedException, &E_ServiceUnavailableException, &E_InternalFailureException, &E_MethodNotAllowedException], read_only: true, iam_action: "iot:ListNamedShadowsForThing", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "ListRetainedMessages", method: "GET", path: "/retainedMessage", status: 200, input: Some(&S_ListRetainedMessagesRequest), output: Some(&S_ListRetainedMessagesResponse), errors: &[&E_InvalidRequestException, &E_ThrottlingException, &E_UnauthorizedException, &E_ServiceUnavailableException, &E_InternalFailureException, &E_MethodNotAllowedException], read_only: true, iam_action: "iot:ListRetainedMessages", paginated: Some(&P_ListRetainedMessages), body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "ListSubscriptions", method: "GET", path: "/connections/{clientId}/subscriptions", status: 200, input: Some(&S_ListSubscriptionsRequest), output: Some(&S_ListSubscriptionsResponse), errors: &[&E_InvalidRequestException, &E_ForbiddenException, &E_ResourceNotFoundException, &E_ThrottlingException, &E_InternalFailureException], read_only: true, iam_action: "iot:ListSubscriptions", paginated: Some(&P_ListSubscriptions), body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "Publish", method: "POST", path: "/topics/{topic}", status: 200, input: Some(&S_PublishRequest), output: None, errors: &[&E_InternalFailureException, &E_InvalidRequestException, &E_UnauthorizedException, &E_MethodNotAllowedException, &E_ThrottlingException], read_only: false, iam_action: "iot:Publish", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "SendDirectMessage", method: "POST", path: "/connections/{clientId}/messages", status: 200, input: Some(&S_SendDirectMessageRequest), output: Some(&S_SendDirectMessageResponse), errors: &[&E_InternalFailureException, &E_InvalidRequestException, &E_ResourceNotFoundException, &E_UnauthorizedException, &E_ForbiddenException, &E_ThrottlingException, &E_RequestEntityTooLargeException, &E_GatewayTimeoutException], read_only: false, iam_action: "iot:SendDirectMessage", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotData, name: "UpdateThingShadow", method: "POST", path: "/things/{thingName}/shadow", status: 200, input: Some(&S_UpdateThingShadowRequest), output: Some(&S_UpdateThingShadowResponse), errors: &[&E_ConflictException, &E_RequestEntityTooLargeException, &E_InvalidRequestException, &E_ThrottlingException, &E_UnauthorizedException, &E_ServiceUnavailableException, &E_InternalFailureException, &E_MethodNotAllowedException, &E_UnsupportedDocumentEncodingException], read_only: false, iam_action: "iot:UpdateThingShadow", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
];

static E_ConflictException: ErrorShape = ErrorShape { code: "ConflictException", status: 409, members: &[] };
static E_ForbiddenException: ErrorShape = ErrorShape { code: "ForbiddenException", status: 403, members: &[] };
static E_GatewayTimeoutException: ErrorShape = ErrorShape { code: "GatewayTimeoutException", status: 504, members: &[] };
static E_InternalFailureException: ErrorShape = ErrorShape { code: "InternalFailureException", status: 500, members: &[] };
static E_InvalidRequestException: ErrorShape = ErrorShape { code: "InvalidRequestException", status: 400, members: &[] };
static E_MethodNotAllowedException: ErrorShape = ErrorShape { code: "MethodNotAllowedException", status: 405, members: &[] };
static E_RequestEntityTooLargeException: ErrorShape = ErrorShape { code: "RequestEntityTooLargeException", status: 413, members: &[] };
static E_ResourceNotFoundException: ErrorShape = ErrorShape { code: "ResourceNotFoundException", status: 404, members: &[] };
static E_ServiceUnavailableException: ErrorShape = ErrorShape { code: "ServiceUnavailableException", status: 503, members: &[] };
static E_ThrottlingException: ErrorShape = ErrorShape { code: "ThrottlingException", status: 429, members: &[] };
static E_UnauthorizedException: ErrorShape = ErrorShape { code: "UnauthorizedException", status: 401, members: &[] };
static E_UnsupportedDocumentEncodingException: ErrorShape = ErrorShape { code: "UnsupportedDocumentEncodingException", status: 415, members: &[] };

static P_ListRetainedMessages: Pagination = Pagination { input_token: "nextToken", output_token: "nextToken", limit_key: "maxResults", result_key: "retainedTopics" };
static P_ListSubscriptions: Pagination = Pagination { input_token: "nextToken", output_token: "nextToken", limit_key: "maxResults", result_key: "subscriptions" };

static S_CleanSession: Shape = Shape { name: "CleanSession", kind: Kind::Boolean, sensitive: false };
static S_ClientId: Shape = Shape { name: "ClientId", kind: text(Some(1), Some(128), Some(&R0), &[]), sensitive: false };
static S_Confirmation: Shape = Shape { name: "Confirmation", kind: Kind::Boolean, sensitive: false };
static S_Connected: Shape = Shape { name: "Connected", kind: Kind::Boolean, sensitive: false };
static S_ContentType: Shape = Shape { name: "ContentType", kind: text(None, None, None, &[]), sensitive: false };
static S_CorrelationData: Shape = Shape { name: "CorrelationData", kind: text(None, None, None, &[]), sensitive: false };
static S_DeleteConnectionRequest: Shape = Shape { name: "DeleteConnectionRequest", kind: Kind::Structure { members: &[member("clientId", "clientId", Location::Uri, &S_ClientId, true), member("cleanSession", "cleanSession", Location::Query, &S_CleanSession, false), member("preventWillMessage", "preventWillMessage", Location::Query, &S_PreventWillMessage, false), ] }, sensitive: false };
static S_DeleteThingShadowRequest: Shape = Shape { name: "DeleteThingShadowRequest", kind: Kind::Structure { members: &[member("thingName", "thingName", Location::Uri, &S_ThingName, true), member("shadowName", "name", Location::Query, &S_ShadowName, false), ] }, sensitive: false };
static S_DeleteThingShadowResponse: Shape = Shape { name: "DeleteThingShadowResponse", kind: Kind::Structure { members: &[member("payload", "payload", Location::Payload, &S_JsonDocument, true), ] }, sensitive: false };
static S_DisconnectReason: Shape = Shape { name: "DisconnectReason", kind: text(None, None, None, &[]), sensitive: false };
static S_GetConnectionRequest: Shape = Shape { name: "GetConnectionRequest", kind: Kind::Structure { members: &[member("clientId", "clientId", Location::Uri, &S_ClientId, true), member("includeSocketInformation", "includeSocketInformation", Location::Query, &S_IncludeSocketInformation, false), ] }, sensitive: false };
static S_GetConnectionResponse: Shape = Shape { name: "GetConnectionResponse", kind: Kind::Structure { members: &[member("connected", "connected", Location::Body, &S_Connected, false), member("thingName", "thingName", Location::Body, &S_ThingName, false), member("cleanSession", "cleanSession", Location::Body, &S_CleanSession, false), member("sourceIp", "sourceIp", Location::Body, &S_SourceIp, false), member("sourcePort", "sourcePort", Location::Body, &S_SourcePort, false), member("targetIp", "targetIp", Location::Body, &S_TargetIp, false), member("targetPort", "targetPort", Location::Body, &S_TargetPort, false), member("keepAliveDuration", "keepAliveDuration", Location::Body, &S_KeepAliveDuration, false), member("connectedSince", "connectedSince", Location::Body, &S_Timestamp, false), member("disconnectedSince", "disconnectedSince", Location::Body, &S_Timestamp, false), member("disconnectReason", "disconnectReason", Location::Body, &S_DisconnectReason, false), member("sessionExpiry", "sessionExpiry", Location::Body, &S_SessionExpiry, false), member("clientId", "clientId", Location::Body, &S_ClientId, false), member("vpcEndpointId", "vpcEndpointId", Location::Body, &S_VpcEndpointId, false), ] }, sensitive: false };
static S_GetRetainedMessageRequest: Shape = Shape { name: "GetRetainedMessageRequest", kind: Kind::Structure { members: &[member("topic", "topic", Location::Uri, &S_Topic, true), ] }, sensitive: false };
static S_GetRetainedMessageResponse: Shape = Shape { name: "GetRetainedMessageResponse", kind: Kind::Structure { members: &[member("topic", "topic", Location::Body, &S_Topic, false), member("payload", "payload", Location::Body, &S_Payload, false), member("qos", "qos", Location::Body, &S_Qos, false), member("lastModifiedTime", "lastModifiedTime", Location::Body, &S_Timestamp, false), member("userProperties", "userProperties", Location::Body, &S_UserPropertiesBlob, false), ] }, sensitive: false };
static S_GetThingShadowRequest: Shape = Shape { name: "GetThingShadowRequest", kind: Kind::Structure { members: &[member("thingName", "thingName", Location::Uri, &S_ThingName, true), member("shadowName", "name", Location::Query, &S_ShadowName, false), ] }, sensitive: false };
static S_GetThingShadowResponse: Shape = Shape { name: "GetThingShadowResponse", kind: Kind::Structure { members: &[member("payload", "payload", Location::Payload, &S_JsonDocument, false), ] }, sensitive: false };
static S_IncludeSocketInformation: Shape = Shape { name: "IncludeSocketInformation", kind: Kind::Boolean, sensitive: false };
static S_JsonDocument: Shape = Shape { name: "JsonDocument", kind: blob(None, None), sensitive: false };
static S_KeepAliveDuration: Shape = Shape { name: "KeepAliveDuration", kind: Kind::Integer(Number { min: None, max: None }), sensitive: false };
static S_ListNamedShadowsForThingRequest: Shape = Shape { name: "ListNamedShadowsForThingRequest", kind: Kind::Structure { members: &[member("thingName", "thingName", Location::Uri, &S_ThingName, true), member("nextToken", "nextToken", Location::Query, &S_NextToken, false), member("pageSize", "pageSize", Location::Query, &S_PageSize, false), ] }, sensitive: false };
static S_ListNamedShadowsForThingResponse: Shape = Shape { name: "ListNamedShadowsForThingResponse", kind: Kind::Structure { members: &[member("results", "results", Location::Body, &S_NamedShadowList, false), member("nextToken", "nextToken", Location::Body, &S_NextToken, false), member("timestamp", "timestamp", Location::Body, &S_Timestamp, false), ] }, sensitive: false };
static S_ListRetainedMessagesRequest: Shape = Shape { name: "ListRetainedMessagesRequest", kind: Kind::Structure { members: &[member("nextToken", "nextToken", Location::Query, &S_NextToken, false), member("maxResults", "maxResults", Location::Query, &S_MaxResults, false), ] }, sensitive: false };
static S_ListRetainedMessagesResponse: Shape = Shape { name: "ListRetainedMessagesResponse", kind: Kind::Structure { members: &[member("retainedTopics", "retainedTopics", Location::Body, &S_RetainedMessageList, false), member("nextToken", "nextToken", Location::Body, &S_NextToken, false), ] }, sensitive: false };
static S_ListSubscriptionsRequest: Shape = Shape { name: "ListSubscriptionsRequest", kind: Kind::Structure { members: &[member("clientId", "clientId", Location::Uri, &S_ClientId, true), member("nextToken", "nextToken", Location::Query, &S_NextToken, false), member("maxResults", "maxResults", Location::Query, &S_MaxResults, false), ] }, sensitive: false };
static S_ListSubscriptionsResponse: Shape = Shape { name: "ListSubscriptionsResponse", kind: Kind::Structure { members: &[member("subscriptions", "subscriptions", Location::Body, &S_SubscriptionList, false), member("nextToken", "nextToken", Location::Body, &S_NextToken, false), ] }, sensitive: false };
static S_MaxResults: Shape = Shape { name: "MaxResults", kind: Kind::Integer(Number { min: Some(1), max: Some(200) }), sensitive: false };
static S_MessageExpiry: Shape = Shape { name: "MessageExpiry", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_NamedShadowList: Shape = Shape { name: "NamedShadowList", kind: list(&S_ShadowName, "member", false, None, None), sensitive: false };
static S_NextToken: Shape = Shape { name: "NextToken", kind: text(None, None, None, &[]), sensitive: false };
static S_PageSize: Shape = Shape { name: "PageSize", kind: Kind::Integer(Number { min: Some(1), max: Some(100) }), sensitive: false };
static S_Payload: Shape = Shape { name: "Payload", kind: blob(None, None), sensitive: false };
static S_PayloadFormatIndicator: Shape = Shape { name: "PayloadFormatIndicator", kind: text(None, None, None, &["UNSPECIFIED_BYTES", "UTF8_DATA"]), sensitive: false };
static S_PayloadSize: Shape = Shape { name: "PayloadSize", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_PreventWillMessage: Shape = Shape { name: "PreventWillMessage", kind: Kind::Boolean, sensitive: false };
static S_PublishRequest: Shape = Shape { name: "PublishRequest", kind: Kind::Structure { members: &[member("topic", "topic", Location::Uri, &S_Topic, true), member("qos", "qos", Location::Query, &S_Qos, false), member("retain", "retain", Location::Query, &S_Retain, false), member("payload", "payload", Location::Payload, &S_Payload, false), json_member("userProperties", "x-amz-mqtt5-user-properties", Location::Header, &S_UserProperties, false), member("payloadFormatIndicator", "x-amz-mqtt5-payload-format-indicator", Location::Header, &S_PayloadFormatIndicator, false), member("contentType", "contentType", Location::Query, &S_ContentType, false), member("responseTopic", "responseTopic", Location::Query, &S_ResponseTopic, false), member("correlationData", "x-amz-mqtt5-correlation-data", Location::Header, &S_CorrelationData, false), member("messageExpiry", "messageExpiry", Location::Query, &S_MessageExpiry, false), ] }, sensitive: false };
static S_Qos: Shape = Shape { name: "Qos", kind: Kind::Integer(Number { min: Some(0), max: Some(1) }), sensitive: false };
static S_ResponseMessage: Shape = Shape { name: "ResponseMessage", kind: text(None, None, None, &[]), sensitive: false };
static S_ResponseTopic: Shape = Shape { name: "ResponseTopic", kind: text(None, None, None, &[]), sensitive: false };
static S_Retain: Shape = Shape { name: "Retain", kind: Kind::Boolean, sensitive: false };
static S_RetainedMessageList: Shape = Shape { name: "RetainedMessageList", kind: list(&S_RetainedMessageSummary, "member", false, None, None), sensitive: false };
static S_RetainedMessageSummary: Shape = Shape { name: "RetainedMessageSummary", kind: Kind::Structure { members: &[member("topic", "topic", Location::Body, &S_Topic, false), member("payloadSize", "payloadSize", Location::Body, &S_PayloadSize, false), member("qos", "qos", Location::Body, &S_Qos, false), member("lastModifiedTime", "lastModifiedTime", Location::Body, &S_Timestamp, false), ] }, sensitive: false };
static S_SendDirectMessageRequest: Shape = Shape { name: "SendDirectMessageRequest", kind: Kind::Structure { members: &[member("clientId", "clientId", Location::Uri, &S_ClientId, true), member("topic", "topic", Location::Query, &S_Topic, true), member("contentType", "contentType", Location::Query, &S_ContentType, false), member("responseTopic", "responseTopic", Location::Query, &S_ResponseTopic, false), member("confirmation", "confirmation", Location::Query, &S_Confirmation, false), member("timeout", "timeout", Location::Query, &S_TimeoutInSeconds, false), member("payload", "payload", Location::Payload, &S_Payload, false), json_member("userProperties", "x-amz-mqtt5-user-properties", Location::Header, &S_UserProperties, false), member("payloadFormatIndicator", "x-amz-mqtt5-payload-format-indicator", Location::Header, &S_PayloadFormatIndicator, false), member("correlationData", "x-amz-mqtt5-correlation-data", Location::Header, &S_CorrelationData, false), ] }, sensitive: false };
static S_SendDirectMessageResponse: Shape = Shape { name: "SendDirectMessageResponse", kind: Kind::Structure { members: &[member("message", "message", Location::Body, &S_ResponseMessage, false), member("traceId", "traceId", Location::Body, &S_TraceId, false), ] }, sensitive: false };
static S_SessionExpiry: Shape = Shape { name: "SessionExpiry", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_ShadowName: Shape = Shape { name: "ShadowName", kind: text(Some(1), Some(64), Some(&R1), &[]), sensitive: false };
static S_SourceIp: Shape = Shape { name: "SourceIp", kind: text(None, None, None, &[]), sensitive: false };
static S_SourcePort: Shape = Shape { name: "SourcePort", kind: Kind::Integer(Number { min: None, max: None }), sensitive: false };
static S_SubscriptionList: Shape = Shape { name: "SubscriptionList", kind: list(&S_SubscriptionSummary, "member", false, None, None), sensitive: false };
static S_SubscriptionSummary: Shape = Shape { name: "SubscriptionSummary", kind: Kind::Structure { members: &[member("topicFilter", "topicFilter", Location::Body, &S_TopicFilter, true), member("qos", "qos", Location::Body, &S_Qos, true), ] }, sensitive: false };
static S_TargetIp: Shape = Shape { name: "TargetIp", kind: text(None, None, None, &[]), sensitive: false };
static S_TargetPort: Shape = Shape { name: "TargetPort", kind: Kind::Integer(Number { min: None, max: None }), sensitive: false };
static S_ThingName: Shape = Shape { name: "ThingName", kind: text(Some(1), Some(128), Some(&R2), &[]), sensitive: false };
static S_TimeoutInSeconds: Shape = Shape { name: "TimeoutInSeconds", kind: Kind::Integer(Number { min: None, max: None }), sensitive: false };
static S_Timestamp: Shape = Shape { name: "Timestamp", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_Topic: Shape = Shape { name: "Topic", kind: text(None, None, None, &[]), sensitive: false };
static S_TopicFilter: Shape = Shape { name: "TopicFilter", kind: text(None, None, None, &[]), sensitive: false };
static S_TraceId: Shape = Shape { name: "TraceId", kind: text(None, None, None, &[]), sensitive: false };
static S_UpdateThingShadowRequest: Shape = Shape { name: "UpdateThingShadowRequest", kind: Kind::Structure { members: &[member("thingName", "thingName", Location::Uri, &S_ThingName, true), member("shadowName", "name", Location::Query, &S_ShadowName, false), member("payload", "payload", Location::Payload, &S_JsonDocument, true), ] }, sensitive: false };
static S_UpdateThingShadowResponse: Shape = Shape { name: "UpdateThingShadowResponse", kind: Kind::Structure { members: &[member("payload", "payload", Location::Payload, &S_JsonDocument, false), ] }, sensitive: false };
static S_UserProperties: Shape = Shape { name: "UserProperties", kind: text(None, None, None, &[]), sensitive: false };
static S_UserPropertiesBlob: Shape = Shape { name: "UserPropertiesBlob", kind: blob(None, None), sensitive: false };
static S_VpcEndpointId: Shape = Shape { name: "VpcEndpointId", kind: text(None, None, None, &[]), sensitive: false };
static R0: Pattern = Pattern::new(r"^[^$].*");
static R1: Pattern = Pattern::new(r"[$a-zA-Z0-9:_-]+");
static R2: Pattern = Pattern::new(r"[a-zA-Z0-9:_-]+");
