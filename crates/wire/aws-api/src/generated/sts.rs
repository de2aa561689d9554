//! The tables of sts, API version 2011-06-15. Written by `cargo xtask codegen`; do not edit.

#![allow(non_upper_case_globals, unused_imports)]

use super::build::*;

/// The service.
pub static SERVICE: Service = Service {
    id: ServiceId::Sts,
    name: "sts",
    protocol: Protocol::Query,
    api_version: "2011-06-15",
    signing_names: &["sts"],
    target_prefix: "",
    xml_namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    event_source: "sts.amazonaws.com",
    operations: &OPERATIONS,
    errors: &[&E_ExpiredTokenException, &E_ExpiredTradeInTokenException, &E_IDPCommunicationErrorException, &E_IDPRejectedClaimException, &E_InvalidAuthorizationMessageException, &E_InvalidIdentityTokenException, &E_JWTPayloadSizeExceededException, &E_MalformedPolicyDocumentException, &E_OutboundWebIdentityFederationDisabledException, &E_PackedPolicyTooLargeException, &E_RegionDisabledException, &E_SessionDurationEscalationException],
};

static OPERATIONS: [Operation; 11] = [
    Operation { service: ServiceId::Sts, name: "AssumeRole", method: "POST", path: "/", status: 200, input: Some(&S_AssumeRoleRequest), output: Some(&S_AssumeRoleResponse), errors: &[&E_MalformedPolicyDocumentException, &E_PackedPolicyTooLargeException, &E_RegionDisabledException, &E_ExpiredTokenException], read_only: false, iam_action: "sts:AssumeRole", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::Sts, name: "AssumeRoleWithSAML", method: "POST", path: "/", status: 200, input: None, output: None, errors: &[&E_MalformedPolicyDocumentException, &E_PackedPolicyTooLargeException, &E_IDPRejectedClaimException, &E_InvalidIdentityTokenException, &E_ExpiredTokenException, &E_RegionDisabledException], read_only: false, iam_action: "sts:AssumeRoleWithSAML", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: false },
    Operation { service: ServiceId::Sts, name: "AssumeRoleWithWebIdentity", method: "POST", path: "/", status: 200, input: Some(&S_AssumeRoleWithWebIdentityRequest), output: Some(&S_AssumeRoleWithWebIdentityResponse), errors: &[&E_MalformedPolicyDocumentException, &E_PackedPolicyTooLargeException, &E_IDPRejectedClaimException, &E_IDPCommunicationErrorException, &E_InvalidIdentityTokenException, &E_ExpiredTokenException, &E_RegionDisabledException], read_only: false, iam_action: "sts:AssumeRoleWithWebIdentity", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::Sts, name: "AssumeRoot", method: "POST", path: "/", status: 200, input: None, output: None, errors: &[&E_RegionDisabledException, &E_ExpiredTokenException], read_only: false, iam_action: "sts:AssumeRoot", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: false },
    Operation { service: ServiceId::Sts, name: "DecodeAuthorizationMessage", method: "POST", path: "/", status: 200, input: Some(&S_DecodeAuthorizationMessageRequest), output: Some(&S_DecodeAuthorizationMessageResponse), errors: &[&E_InvalidAuthorizationMessageException], read_only: true, iam_action: "sts:DecodeAuthorizationMessage", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::Sts, name: "GetAccessKeyInfo", method: "POST", path: "/", status: 200, input: Some(&S_GetAccessKeyInfoRequest), output: Some(&S_GetAccessKeyInfoResponse), errors: &[], read_only: true, iam_action: "sts:GetAccessKeyInfo", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::Sts, name: "GetCallerIdentity", method: "POST", path: "/", status: 200, input: Some(&S_GetCallerIdentityRequest), output: Some(&S_GetCallerIdentityResponse), errors: &[], read_only: true, iam_action: "sts:GetCallerIdentity", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::Sts, name: "GetDelegatedAccessToken", method: "POST", path: "/", status: 200, input: None, output: None, errors: &[&E_ExpiredTradeInTokenException, &E_RegionDisabledException, &E_PackedPolicyTooLargeException], read_only: false, iam_action: "sts:GetDelegatedAccessToken", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: false },
    Operation { service: ServiceId::Sts, name: "GetFederationToken", method: "POST", path: "/", status: 200, input: Some(&S_GetFederationTokenRequest), output: Some(&S_GetFederationTokenResponse), errors: &[&E_MalformedPolicyDocumentException, &E_PackedPolicyTooLargeException, &E_RegionDisabledException], read_only: false, iam_action: "sts:GetFederationToken", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::Sts, name: "GetSessionToken", method: "POST", path: "/", status: 200, input: Some(&S_GetSessionTokenRequest), output: Some(&S_GetSessionTokenResponse), errors: &[&E_RegionDisabledException], read_only: false, iam_action: "sts:GetSessionToken", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::Sts, name: "GetWebIdentityToken", method: "POST", path: "/", status: 200, input: None, output: None, errors: &[&E_SessionDurationEscalationException, &E_OutboundWebIdentityFederationDisabledException, &E_JWTPayloadSizeExceededException], read_only: false, iam_action: "sts:GetWebIdentityToken", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: false },
];

static E_ExpiredTokenException: ErrorShape = ErrorShape { code: "ExpiredTokenException", status: 400, members: &[] };
static E_ExpiredTradeInTokenException: ErrorShape = ErrorShape { code: "ExpiredTradeInTokenException", status: 400, members: &[] };
static E_IDPCommunicationErrorException: ErrorShape = ErrorShape { code: "IDPCommunicationError", status: 400, members: &[] };
static E_IDPRejectedClaimException: ErrorShape = ErrorShape { code: "IDPRejectedClaim", status: 403, members: &[] };
static E_InvalidAuthorizationMessageException: ErrorShape = ErrorShape { code: "InvalidAuthorizationMessageException", status: 400, members: &[] };
static E_InvalidIdentityTokenException: ErrorShape = ErrorShape { code: "InvalidIdentityToken", status: 400, members: &[] };
static E_JWTPayloadSizeExceededException: ErrorShape = ErrorShape { code: "JWTPayloadSizeExceededException", status: 400, members: &[] };
static E_MalformedPolicyDocumentException: ErrorShape = ErrorShape { code: "MalformedPolicyDocument", status: 400, members: &[] };
static E_OutboundWebIdentityFederationDisabledException: ErrorShape = ErrorShape { code: "OutboundWebIdentityFederationDisabledException", status: 403, members: &[] };
static E_PackedPolicyTooLargeException: ErrorShape = ErrorShape { code: "PackedPolicyTooLarge", status: 400, members: &[] };
static E_RegionDisabledException: ErrorShape = ErrorShape { code: "RegionDisabledException", status: 403, members: &[] };
static E_SessionDurationEscalationException: ErrorShape = ErrorShape { code: "SessionDurationEscalationException", status: 403, members: &[] };


static S_AssumeRoleRequest: Shape = Shape { name: "AssumeRoleRequest", kind: Kind::Structure { members: &[member("RoleArn", "RoleArn", Location::Body, &S_arnType, true), member("RoleSessionName", "RoleSessionName", Location::Body, &S_roleSessionNameType, true), member("PolicyArns", "PolicyArns", Location::Body, &S_policyDescriptorListType, false), member("Policy", "Policy", Location::Body, &S_unrestrictedSessionPolicyDocumentType, false), member("DurationSeconds", "DurationSeconds", Location::Body, &S_roleDurationSecondsType, false), member("Tags", "Tags", Location::Body, &S_tagListType, false), member("TransitiveTagKeys", "TransitiveTagKeys", Location::Body, &S_tagKeyListType, false), member("ExternalId", "ExternalId", Location::Body, &S_externalIdType, false), member("SerialNumber", "SerialNumber", Location::Body, &S_serialNumberType, false), member("TokenCode", "TokenCode", Location::Body, &S_tokenCodeType, false), member("SourceIdentity", "SourceIdentity", Location::Body, &S_sourceIdentityType, false), member("ProvidedContexts", "ProvidedContexts", Location::Body, &S_ProvidedContextsListType, false), member("MinimumSessionTokenSize", "MinimumSessionTokenSize", Location::Body, &S_minimumSessionTokenSizeType, false), ] }, sensitive: false };
static S_AssumeRoleResponse: Shape = Shape { name: "AssumeRoleResponse", kind: Kind::Structure { members: &[member("Credentials", "Credentials", Location::Body, &S_Credentials, false), member("AssumedRoleUser", "AssumedRoleUser", Location::Body, &S_AssumedRoleUser, false), member("PackedPolicySize", "PackedPolicySize", Location::Body, &S_nonNegativeIntegerType, false), member("SourceIdentity", "SourceIdentity", Location::Body, &S_sourceIdentityType, false), member("SessionTokenUtilization", "SessionTokenUtilization", Location::Body, &S_sessionTokenUtilizationType, false), member("SessionTokenSize", "SessionTokenSize", Location::Body, &S_sessionTokenSizeType, false), ] }, sensitive: false };
static S_AssumeRoleWithWebIdentityRequest: Shape = Shape { name: "AssumeRoleWithWebIdentityRequest", kind: Kind::Structure { members: &[member("RoleArn", "RoleArn", Location::Body, &S_arnType, true), member("RoleSessionName", "RoleSessionName", Location::Body, &S_roleSessionNameType, true), member("WebIdentityToken", "WebIdentityToken", Location::Body, &S_clientTokenType, true), member("ProviderId", "ProviderId", Location::Body, &S_urlType, false), member("PolicyArns", "PolicyArns", Location::Body, &S_policyDescriptorListType, false), member("Policy", "Policy", Location::Body, &S_sessionPolicyDocumentType, false), member("DurationSeconds", "DurationSeconds", Location::Body, &S_roleDurationSecondsType, false), member("MinimumSessionTokenSize", "MinimumSessionTokenSize", Location::Body, &S_minimumSessionTokenSizeType, false), ] }, sensitive: false };
static S_AssumeRoleWithWebIdentityResponse: Shape = Shape { name: "AssumeRoleWithWebIdentityResponse", kind: Kind::Structure { members: &[member("Credentials", "Credentials", Location::Body, &S_Credentials, false), member("SubjectFromWebIdentityToken", "SubjectFromWebIdentityToken", Location::Body, &S_webIdentitySubjectType, false), member("AssumedRoleUser", "AssumedRoleUser", Location::Body, &S_AssumedRoleUser, false), member("PackedPolicySize", "PackedPolicySize", Location::Body, &S_nonNegativeIntegerType, false), member("Provider", "Provider", Location::Body, &S_Issuer, false), member("Audience", "Audience", Location::Body, &S_Audience, false), member("SourceIdentity", "SourceIdentity", Location::Body, &S_sourceIdentityType, false), member("SessionTokenUtilization", "SessionTokenUtilization", Location::Body, &S_sessionTokenUtilizationType, false), member("SessionTokenSize", "SessionTokenSize", Location::Body, &S_sessionTokenSizeType, false), ] }, sensitive: false };
static S_AssumedRoleUser: Shape = Shape { name: "AssumedRoleUser", kind: Kind::Structure { members: &[member("AssumedRoleId", "AssumedRoleId", Location::Body, &S_assumedRoleIdType, true), member("Arn", "Arn", Location::Body, &S_arnType, true), ] }, sensitive: false };
static S_Audience: Shape = Shape { name: "Audience", kind: text(None, None, None, &[]), sensitive: false };
static S_Credentials: Shape = Shape { name: "Credentials", kind: Kind::Structure { members: &[member("AccessKeyId", "AccessKeyId", Location::Body, &S_accessKeyIdType, true), member("SecretAccessKey", "SecretAccessKey", Location::Body, &S_accessKeySecretType, true), member("SessionToken", "SessionToken", Location::Body, &S_tokenType, true), member("Expiration", "Expiration", Location::Body, &S_dateType, true), ] }, sensitive: false };
static S_DecodeAuthorizationMessageRequest: Shape = Shape { name: "DecodeAuthorizationMessageRequest", kind: Kind::Structure { members: &[member("EncodedMessage", "EncodedMessage", Location::Body, &S_encodedMessageType, true), ] }, sensitive: false };
static S_DecodeAuthorizationMessageResponse: Shape = Shape { name: "DecodeAuthorizationMessageResponse", kind: Kind::Structure { members: &[member("DecodedMessage", "DecodedMessage", Location::Body, &S_decodedMessageType, false), ] }, sensitive: false };
static S_FederatedUser: Shape = Shape { name: "FederatedUser", kind: Kind::Structure { members: &[member("FederatedUserId", "FederatedUserId", Location::Body, &S_federatedIdType, true), member("Arn", "Arn", Location::Body, &S_arnType, true), ] }, sensitive: false };
static S_GetAccessKeyInfoRequest: Shape = Shape { name: "GetAccessKeyInfoRequest", kind: Kind::Structure { members: &[member("AccessKeyId", "AccessKeyId", Location::Body, &S_accessKeyIdType, true), ] }, sensitive: false };
static S_GetAccessKeyInfoResponse: Shape = Shape { name: "GetAccessKeyInfoResponse", kind: Kind::Structure { members: &[member("Account", "Account", Location::Body, &S_accountType, false), ] }, sensitive: false };
static S_GetCallerIdentityRequest: Shape = Shape { name: "GetCallerIdentityRequest", kind: Kind::Structure { members: &[] }, sensitive: false };
static S_GetCallerIdentityResponse: Shape = Shape { name: "GetCallerIdentityResponse", kind: Kind::Structure { members: &[member("UserId", "UserId", Location::Body, &S_userIdType, false), member("Account", "Account", Location::Body, &S_accountType, false), member("Arn", "Arn", Location::Body, &S_arnType, false), ] }, sensitive: false };
static S_GetFederationTokenRequest: Shape = Shape { name: "GetFederationTokenRequest", kind: Kind::Structure { members: &[member("Name", "Name", Location::Body, &S_userNameType, true), member("Policy", "Policy", Location::Body, &S_sessionPolicyDocumentType, false), member("PolicyArns", "PolicyArns", Location::Body, &S_policyDescriptorListType, false), member("DurationSeconds", "DurationSeconds", Location::Body, &S_durationSecondsType, false), member("Tags", "Tags", Location::Body, &S_tagListType, false), member("MinimumSessionTokenSize", "MinimumSessionTokenSize", Location::Body, &S_minimumSessionTokenSizeType, false), ] }, sensitive: false };
static S_GetFederationTokenResponse: Shape = Shape { name: "GetFederationTokenResponse", kind: Kind::Structure { members: &[member("Credentials", "Credentials", Location::Body, &S_Credentials, false), member("FederatedUser", "FederatedUser", Location::Body, &S_FederatedUser, false), member("PackedPolicySize", "PackedPolicySize", Location::Body, &S_nonNegativeIntegerType, false), member("SessionTokenUtilization", "SessionTokenUtilization", Location::Body, &S_sessionTokenUtilizationType, false), member("SessionTokenSize", "SessionTokenSize", Location::Body, &S_sessionTokenSizeType, false), ] }, sensitive: false };
static S_GetSessionTokenRequest: Shape = Shape { name: "GetSessionTokenRequest", kind: Kind::Structure { members: &[member("DurationSeconds", "DurationSeconds", Location::Body, &S_durationSecondsType, false), member("SerialNumber", "SerialNumber", Location::Body, &S_serialNumberType, false), member("TokenCode", "TokenCode", Location::Body, &S_tokenCodeType, false), member("MinimumSessionTokenSize", "MinimumSessionTokenSize", Location::Body, &S_minimumSessionTokenSizeType, false), ] }, sensitive: false };
static S_GetSessionTokenResponse: Shape = Shape { name: "GetSessionTokenResponse", kind: Kind::Structure { members: &[member("Credentials", "Credentials", Location::Body, &S_Credentials, false), member("SessionTokenUtilization", "SessionTokenUtilization", Location::Body, &S_sessionTokenUtilizationType, false), member("SessionTokenSize", "SessionTokenSize", Location::Body, &S_sessionTokenSizeType, false), ] }, sensitive: false };
static S_Issuer: Shape = Shape { name: "Issuer", kind: text(None, None, None, &[]), sensitive: false };
static S_PolicyDescriptorType: Shape = Shape { name: "PolicyDescriptorType", kind: Kind::Structure { members: &[member("arn", "arn", Location::Body, &S_arnType, false), ] }, sensitive: false };
static S_ProvidedContext: Shape = Shape { name: "ProvidedContext", kind: Kind::Structure { members: &[member("ProviderArn", "ProviderArn", Location::Body, &S_arnType, false), member("ContextAssertion", "ContextAssertion", Location::Body, &S_contextAssertionType, false), ] }, sensitive: false };
static S_ProvidedContextsListType: Shape = Shape { name: "ProvidedContextsListType", kind: list(&S_ProvidedContext, "member", false, Some(1), Some(5)), sensitive: false };
static S_Tag: Shape = Shape { name: "Tag", kind: Kind::Structure { members: &[member("Key", "Key", Location::Body, &S_tagKeyType, true), member("Value", "Value", Location::Body, &S_tagValueType, true), ] }, sensitive: false };
static S_accessKeyIdType: Shape = Shape { name: "accessKeyIdType", kind: text(Some(16), Some(128), Some(&R0), &[]), sensitive: false };
static S_accessKeySecretType: Shape = Shape { name: "accessKeySecretType", kind: text(None, None, None, &[]), sensitive: true };
static S_accountType: Shape = Shape { name: "accountType", kind: text(None, None, None, &[]), sensitive: false };
static S_arnType: Shape = Shape { name: "arnType", kind: text(Some(20), Some(2048), Some(&R1), &[]), sensitive: false };
static S_assumedRoleIdType: Shape = Shape { name: "assumedRoleIdType", kind: text(Some(2), Some(193), Some(&R2), &[]), sensitive: false };
static S_clientTokenType: Shape = Shape { name: "clientTokenType", kind: text(Some(4), Some(20000), None, &[]), sensitive: true };
static S_contextAssertionType: Shape = Shape { name: "contextAssertionType", kind: text(Some(4), Some(2048), None, &[]), sensitive: false };
static S_dateType: Shape = Shape { name: "dateType", kind: Kind::Timestamp(TimestampFormat::Default), sensitive: false };
static S_decodedMessageType: Shape = Shape { name: "decodedMessageType", kind: text(None, None, None, &[]), sensitive: false };
static S_durationSecondsType: Shape = Shape { name: "durationSecondsType", kind: Kind::Integer(Number { min: Some(900), max: Some(129600) }), sensitive: false };
static S_encodedMessageType: Shape = Shape { name: "encodedMessageType", kind: text(Some(1), Some(10240), None, &[]), sensitive: false };
static S_externalIdType: Shape = Shape { name: "externalIdType", kind: text(Some(2), Some(1224), Some(&R3), &[]), sensitive: false };
static S_federatedIdType: Shape = Shape { name: "federatedIdType", kind: text(Some(2), Some(193), Some(&R4), &[]), sensitive: false };
static S_minimumSessionTokenSizeType: Shape = Shape { name: "minimumSessionTokenSizeType", kind: Kind::Integer(Number { min: Some(0), max: Some(4096) }), sensitive: false };
static S_nonNegativeIntegerType: Shape = Shape { name: "nonNegativeIntegerType", kind: Kind::Integer(Number { min: Some(0), max: None }), sensitive: false };
static S_policyDescriptorListType: Shape = Shape { name: "policyDescriptorListType", kind: list(&S_PolicyDescriptorType, "member", false, None, None), sensitive: false };
static S_roleDurationSecondsType: Shape = Shape { name: "roleDurationSecondsType", kind: Kind::Integer(Number { min: Some(900), max: Some(43200) }), sensitive: false };
static S_roleSessionNameType: Shape = Shape { name: "roleSessionNameType", kind: text(Some(2), Some(64), Some(&R5), &[]), sensitive: false };
static S_serialNumberType: Shape = Shape { name: "serialNumberType", kind: text(Some(9), Some(256), Some(&R6), &[]), sensitive: false };
static S_sessionPolicyDocumentType: Shape = Shape { name: "sessionPolicyDocumentType", kind: text(Some(1), Some(2048), Some(&R7), &[]), sensitive: false };
static S_sessionTokenSizeType: Shape = Shape { name: "sessionTokenSizeType", kind: Kind::Integer(Number { min: Some(0), max: None }), sensitive: false };
static S_sessionTokenUtilizationType: Shape = Shape { name: "sessionTokenUtilizationType", kind: Kind::Integer(Number { min: Some(0), max: None }), sensitive: false };
static S_sourceIdentityType: Shape = Shape { name: "sourceIdentityType", kind: text(Some(2), Some(64), Some(&R5), &[]), sensitive: false };
static S_tagKeyListType: Shape = Shape { name: "tagKeyListType", kind: list(&S_tagKeyType, "member", false, None, Some(50)), sensitive: false };
static S_tagKeyType: Shape = Shape { name: "tagKeyType", kind: text(Some(1), Some(128), Some(&R8), &[]), sensitive: false };
static S_tagListType: Shape = Shape { name: "tagListType", kind: list(&S_Tag, "member", false, None, Some(50)), sensitive: false };
static S_tagValueType: Shape = Shape { name: "tagValueType", kind: text(Some(0), Some(256), Some(&R9), &[]), sensitive: false };
static S_tokenCodeType: Shape = Shape { name: "tokenCodeType", kind: text(Some(6), Some(6), Some(&R10), &[]), sensitive: true };
static S_tokenType: Shape = Shape { name: "tokenType", kind: text(None, None, None, &[]), sensitive: true };
static S_unrestrictedSessionPolicyDocumentType: Shape = Shape { name: "unrestrictedSessionPolicyDocumentType", kind: text(Some(1), None, Some(&R7), &[]), sensitive: false };
static S_urlType: Shape = Shape { name: "urlType", kind: text(Some(4), Some(2048), None, &[]), sensitive: false };
static S_userIdType: Shape = Shape { name: "userIdType", kind: text(None, None, None, &[]), sensitive: false };
static S_userNameType: Shape = Shape { name: "userNameType", kind: text(Some(2), Some(32), Some(&R5), &[]), sensitive: false };
static S_webIdentitySubjectType: Shape = Shape { name: "webIdentitySubjectType", kind: text(Some(6), Some(255), None, &[]), sensitive: false };
static R0: Pattern = Pattern::new(r"[\w]*");
static R1: Pattern = Pattern::new(r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]+");
static R2: Pattern = Pattern::new(r"[\w+=,.@:-]*");
static R3: Pattern = Pattern::new(r"[\w+=,.@:\/-]*");
static R4: Pattern = Pattern::new(r"[\w+=,.@\:-]*");
static R5: Pattern = Pattern::new(r"[\w+=,.@-]*");
static R6: Pattern = Pattern::new(r"[\w+=/:,.@-]*");
static R7: Pattern = Pattern::new(r"[\u0009\u000A\u000D\u0020-\u00FF]+");
static R8: Pattern = Pattern::new(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+");
static R9: Pattern = Pattern::new(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*");
static R10: Pattern = Pattern::new(r"[\d]*");
