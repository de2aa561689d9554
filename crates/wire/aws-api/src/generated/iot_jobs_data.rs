//! The tables of iot-jobs-data, API version 2017-09-29. Written by `cargo xtask codegen`; do not edit.

#![allow(non_upper_case_globals, unused_imports)]

use super::build::*;

/// The service.
pub static SERVICE: Service = Service {
    id: ServiceId::IotJobsData,
    name: "iot-jobs-data",
    protocol: Protocol::RestJson,
    api_version: "2017-09-29",
    signing_names: &["iot-jobs-data"],
    target_prefix: "",
    xml_namespace: "",
    event_source: "iot.amazonaws.com",
    operations: &OPERATIONS,
    errors: &[&E_CertificateValidationException, &E_ConflictException, &E_InternalServerException, &E_InvalidRequestException, &E_InvalidStateTransitionException, &E_ResourceNotFoundException, &E_ServiceQuotaExceededException, &E_ServiceUnavailableException, &E_TerminalStateException, &E_ThrottlingException, &E_ValidationException],
};

static OPERATIONS: [Operation; 5] = [
    Operation { service: ServiceId::IotJobsData, name: "DescribeJobExecution", method: "GET", path: "/things/{thingName}/jobs/{jobId}", status: 200, input: Some(&S_DescribeJobExecutionRequest), output: Some(&S_DescribeJobExecutionResponse), errors: &[&E_InvalidRequestException, &E_ResourceNotFoundException, &E_ThrottlingException, &E_ServiceUnavailableException, &E_CertificateValidationException, &E_TerminalStateException], read_only: true, iam_action: "iotjobsdata:DescribeJobExecution", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotJobsData, name: "GetPendingJobExecutions", method: "GET", path: "/things/{thingName}/jobs", status: 200, input: Some(&S_GetPendingJobExecutionsRequest), output: Some(&S_GetPendingJobExecutionsResponse), errors: &[&E_InvalidRequestException, &E_ResourceNotFoundException, &E_ThrottlingException, &E_ServiceUnavailableException, &E_CertificateValidationException], read_only: true, iam_action: "iotjobsdata:GetPendingJobExecutions", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotJobsData, name: "StartCommandExecution", method: "POST", path: "/command-executions", status: 200, input: Some(&S_StartCommandExecutionRequest), output: Some(&S_StartCommandExecutionResponse), errors: &[&E_ValidationException, &E_ResourceNotFoundException, &E_ConflictException, &E_ThrottlingException, &E_ServiceQuotaExceededException, &E_InternalServerException], read_only: false, iam_action: "iot:StartCommandExecution", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotJobsData, name: "StartNextPendingJobExecution", method: "PUT", path: "/things/{thingName}/jobs/$next", status: 200, input: Some(&S_StartNextPendingJobExecutionRequest), output: Some(&S_StartNextPendingJobExecutionResponse), errors: &[&E_InvalidRequestException, &E_ResourceNotFoundException, &E_ThrottlingException, &E_ServiceUnavailableException, &E_CertificateValidationException], read_only: false, iam_action: "iotjobsdata:StartNextPendingJobExecution", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
    Operation { service: ServiceId::IotJobsData, name: "UpdateJobExecution", method: "POST", path: "/things/{thingName}/jobs/{jobId}", status: 200, input: Some(&S_UpdateJobExecutionRequest), output: Some(&S_UpdateJobExecutionResponse), errors: &[&E_InvalidRequestException, &E_ResourceNotFoundException, &E_ThrottlingException, &E_ServiceUnavailableException, &E_CertificateValidationException, &E_InvalidStateTransitionException], read_only: false, iam_action: "iotjobsdata:UpdateJobExecution", paginated: None, body_limit: DEFAULT_BODY_LIMIT, has_shapes: true },
];

static E_CertificateValidationException: ErrorShape = ErrorShape { code: "CertificateValidationException", status: 400, members: &[] };
static E_ConflictException: ErrorShape = ErrorShape { code: "ConflictException", status: 409, members: &["resourceId"] };
static E_InternalServerException: ErrorShape = ErrorShape { code: "InternalServerException", status: 500, members: &[] };
static E_InvalidRequestException: ErrorShape = ErrorShape { code: "InvalidRequestException", status: 400, members: &[] };
static E_InvalidStateTransitionException: ErrorShape = ErrorShape { code: "InvalidStateTransitionException", status: 409, members: &[] };
static E_ResourceNotFoundException: ErrorShape = ErrorShape { code: "ResourceNotFoundException", status: 404, members: &[] };
static E_ServiceQuotaExceededException: ErrorShape = ErrorShape { code: "ServiceQuotaExceededException", status: 402, members: &[] };
static E_ServiceUnavailableException: ErrorShape = ErrorShape { code: "ServiceUnavailableException", status: 503, members: &[] };
static E_TerminalStateException: ErrorShape = ErrorShape { code: "TerminalStateException", status: 410, members: &[] };
static E_ThrottlingException: ErrorShape = ErrorShape { code: "ThrottlingException", status: 429, members: &["payload"] };
static E_ValidationException: ErrorShape = ErrorShape { code: "ValidationException", status: 400, members: &[] };


static S_ApproximateSecondsBeforeTimedOut: Shape = Shape { name: "ApproximateSecondsBeforeTimedOut", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_BinaryParameterValue: Shape = Shape { name: "BinaryParameterValue", kind: blob(Some(1), None), sensitive: false };
static S_BooleanParameterValue: Shape = Shape { name: "BooleanParameterValue", kind: Kind::Boolean, sensitive: false };
static S_ClientRequestTokenV2: Shape = Shape { name: "ClientRequestTokenV2", kind: text(Some(1), Some(64), Some(&R0), &[]), sensitive: false };
static S_CommandArn: Shape = Shape { name: "CommandArn", kind: text(None, None, None, &[]), sensitive: false };
static S_CommandExecutionId: Shape = Shape { name: "CommandExecutionId", kind: text(Some(1), Some(64), Some(&R1), &[]), sensitive: false };
static S_CommandExecutionParameterMap: Shape = Shape { name: "CommandExecutionParameterMap", kind: map(&S_CommandParameterName, &S_CommandParameterValue, Some(1), None), sensitive: false };
static S_CommandExecutionTimeoutInSeconds: Shape = Shape { name: "CommandExecutionTimeoutInSeconds", kind: Kind::Long(Number { min: Some(1), max: None }), sensitive: false };
static S_CommandParameterName: Shape = Shape { name: "CommandParameterName", kind: text(Some(1), Some(192), Some(&R2), &[]), sensitive: false };
static S_CommandParameterValue: Shape = Shape { name: "CommandParameterValue", kind: Kind::Structure { members: &[member("S", "S", Location::Body, &S_StringParameterValue, false), member("B", "B", Location::Body, &S_BooleanParameterValue, false), member("I", "I", Location::Body, &S_IntegerParameterValue, false), member("L", "L", Location::Body, &S_LongParameterValue, false), member("D", "D", Location::Body, &S_DoubleParameterValue, false), member("BIN", "BIN", Location::Body, &S_BinaryParameterValue, false), member("UL", "UL", Location::Body, &S_UnsignedLongParameterValue, false), ] }, sensitive: false };
static S_DescribeJobExecutionJobId: Shape = Shape { name: "DescribeJobExecutionJobId", kind: text(None, None, Some(&R3), &[]), sensitive: false };
static S_DescribeJobExecutionRequest: Shape = Shape { name: "DescribeJobExecutionRequest", kind: Kind::Structure { members: &[member("jobId", "jobId", Location::Uri, &S_DescribeJobExecutionJobId, true), member("thingName", "thingName", Location::Uri, &S_ThingName, true), member("includeJobDocument", "includeJobDocument", Location::Query, &S_IncludeJobDocument, false), member("executionNumber", "executionNumber", Location::Query, &S_ExecutionNumber, false), ] }, sensitive: false };
static S_DescribeJobExecutionResponse: Shape = Shape { name: "DescribeJobExecutionResponse", kind: Kind::Structure { members: &[member("execution", "execution", Location::Body, &S_JobExecution, false), ] }, sensitive: false };
static S_DetailsKey: Shape = Shape { name: "DetailsKey", kind: text(Some(1), Some(128), Some(&R4), &[]), sensitive: false };
static S_DetailsMap: Shape = Shape { name: "DetailsMap", kind: map(&S_DetailsKey, &S_DetailsValue, None, None), sensitive: false };
static S_DetailsValue: Shape = Shape { name: "DetailsValue", kind: text(Some(1), None, Some(&R5), &[]), sensitive: false };
static S_DoubleParameterValue: Shape = Shape { name: "DoubleParameterValue", kind: Kind::Double, sensitive: false };
static S_ExecutionNumber: Shape = Shape { name: "ExecutionNumber", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_ExpectedVersion: Shape = Shape { name: "ExpectedVersion", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_GetPendingJobExecutionsRequest: Shape = Shape { name: "GetPendingJobExecutionsRequest", kind: Kind::Structure { members: &[member("thingName", "thingName", Location::Uri, &S_ThingName, true), ] }, sensitive: false };
static S_GetPendingJobExecutionsResponse: Shape = Shape { name: "GetPendingJobExecutionsResponse", kind: Kind::Structure { members: &[member("inProgressJobs", "inProgressJobs", Location::Body, &S_JobExecutionSummaryList, false), member("queuedJobs", "queuedJobs", Location::Body, &S_JobExecutionSummaryList, false), ] }, sensitive: false };
static S_IncludeExecutionState: Shape = Shape { name: "IncludeExecutionState", kind: Kind::Boolean, sensitive: false };
static S_IncludeJobDocument: Shape = Shape { name: "IncludeJobDocument", kind: Kind::Boolean, sensitive: false };
static S_IntegerParameterValue: Shape = Shape { name: "IntegerParameterValue", kind: Kind::Integer(Number { min: None, max: None }), sensitive: false };
static S_JobDocument: Shape = Shape { name: "JobDocument", kind: text(None, Some(32768), None, &[]), sensitive: false };
static S_JobExecution: Shape = Shape { name: "JobExecution", kind: Kind::Structure { members: &[member("jobId", "jobId", Location::Body, &S_JobId, false), member("thingName", "thingName", Location::Body, &S_ThingName, false), member("status", "status", Location::Body, &S_JobExecutionStatus, false), member("statusDetails", "statusDetails", Location::Body, &S_DetailsMap, false), member("queuedAt", "queuedAt", Location::Body, &S_QueuedAt, false), member("startedAt", "startedAt", Location::Body, &S_StartedAt, false), member("lastUpdatedAt", "lastUpdatedAt", Location::Body, &S_LastUpdatedAt, false), member("approximateSecondsBeforeTimedOut", "approximateSecondsBeforeTimedOut", Location::Body, &S_ApproximateSecondsBeforeTimedOut, false), member("versionNumber", "versionNumber", Location::Body, &S_VersionNumber, false), member("executionNumber", "executionNumber", Location::Body, &S_ExecutionNumber, false), member("jobDocument", "jobDocument", Location::Body, &S_JobDocument, false), ] }, sensitive: false };
static S_JobExecutionState: Shape = Shape { name: "JobExecutionState", kind: Kind::Structure { members: &[member("status", "status", Location::Body, &S_JobExecutionStatus, false), member("statusDetails", "statusDetails", Location::Body, &S_DetailsMap, false), member("versionNumber", "versionNumber", Location::Body, &S_VersionNumber, false), ] }, sensitive: false };
static S_JobExecutionStatus: Shape = Shape { name: "JobExecutionStatus", kind: text(None, None, None, &["QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED"]), sensitive: false };
static S_JobExecutionSummary: Shape = Shape { name: "JobExecutionSummary", kind: Kind::Structure { members: &[member("jobId", "jobId", Location::Body, &S_JobId, false), member("queuedAt", "queuedAt", Location::Body, &S_QueuedAt, false), member("startedAt", "startedAt", Location::Body, &S_StartedAt, false), member("lastUpdatedAt", "lastUpdatedAt", Location::Body, &S_LastUpdatedAt, false), member("versionNumber", "versionNumber", Location::Body, &S_VersionNumber, false), member("executionNumber", "executionNumber", Location::Body, &S_ExecutionNumber, false), ] }, sensitive: false };
static S_JobExecutionSummaryList: Shape = Shape { name: "JobExecutionSummaryList", kind: list(&S_JobExecutionSummary, "member", false, None, None), sensitive: false };
static S_JobId: Shape = Shape { name: "JobId", kind: text(Some(1), Some(64), Some(&R1), &[]), sensitive: false };
static S_LastUpdatedAt: Shape = Shape { name: "LastUpdatedAt", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_LongParameterValue: Shape = Shape { name: "LongParameterValue", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_QueuedAt: Shape = Shape { name: "QueuedAt", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_StartCommandExecutionRequest: Shape = Shape { name: "StartCommandExecutionRequest", kind: Kind::Structure { members: &[member("targetArn", "targetArn", Location::Body, &S_TargetArn, true), member("commandArn", "commandArn", Location::Body, &S_CommandArn, true), member("parameters", "parameters", Location::Body, &S_CommandExecutionParameterMap, false), member("executionTimeoutSeconds", "executionTimeoutSeconds", Location::Body, &S_CommandExecutionTimeoutInSeconds, false), member("clientToken", "clientToken", Location::Body, &S_ClientRequestTokenV2, false), ] }, sensitive: false };
static S_StartCommandExecutionResponse: Shape = Shape { name: "StartCommandExecutionResponse", kind: Kind::Structure { members: &[member("executionId", "executionId", Location::Body, &S_CommandExecutionId, false), ] }, sensitive: false };
static S_StartNextPendingJobExecutionRequest: Shape = Shape { name: "StartNextPendingJobExecutionRequest", kind: Kind::Structure { members: &[member("thingName", "thingName", Location::Uri, &S_ThingName, true), member("statusDetails", "statusDetails", Location::Body, &S_DetailsMap, false), member("stepTimeoutInMinutes", "stepTimeoutInMinutes", Location::Body, &S_StepTimeoutInMinutes, false), ] }, sensitive: false };
static S_StartNextPendingJobExecutionResponse: Shape = Shape { name: "StartNextPendingJobExecutionResponse", kind: Kind::Structure { members: &[member("execution", "execution", Location::Body, &S_JobExecution, false), ] }, sensitive: false };
static S_StartedAt: Shape = Shape { name: "StartedAt", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_StepTimeoutInMinutes: Shape = Shape { name: "StepTimeoutInMinutes", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static S_StringParameterValue: Shape = Shape { name: "StringParameterValue", kind: text(Some(1), None, None, &[]), sensitive: false };
static S_TargetArn: Shape = Shape { name: "TargetArn", kind: text(None, Some(2048), None, &[]), sensitive: false };
static S_ThingName: Shape = Shape { name: "ThingName", kind: text(Some(1), Some(128), Some(&R4), &[]), sensitive: false };
static S_UnsignedLongParameterValue: Shape = Shape { name: "UnsignedLongParameterValue", kind: text(Some(1), Some(20), Some(&R6), &[]), sensitive: false };
static S_UpdateJobExecutionRequest: Shape = Shape { name: "UpdateJobExecutionRequest", kind: Kind::Structure { members: &[member("jobId", "jobId", Location::Uri, &S_JobId, true), member("thingName", "thingName", Location::Uri, &S_ThingName, true), member("status", "status", Location::Body, &S_JobExecutionStatus, true), member("statusDetails", "statusDetails", Location::Body, &S_DetailsMap, false), member("stepTimeoutInMinutes", "stepTimeoutInMinutes", Location::Body, &S_StepTimeoutInMinutes, false), member("expectedVersion", "expectedVersion", Location::Body, &S_ExpectedVersion, false), member("includeJobExecutionState", "includeJobExecutionState", Location::Body, &S_IncludeExecutionState, false), member("includeJobDocument", "includeJobDocument", Location::Body, &S_IncludeJobDocument, false), member("executionNumber", "executionNumber", Location::Body, &S_ExecutionNumber, false), ] }, sensitive: false };
static S_UpdateJobExecutionResponse: Shape = Shape { name: "UpdateJobExecutionResponse", kind: Kind::Structure { members: &[member("executionState", "executionState", Location::Body, &S_JobExecutionState, false), member("jobDocument", "jobDocument", Location::Body, &S_JobDocument, false), ] }, sensitive: false };
static S_VersionNumber: Shape = Shape { name: "VersionNumber", kind: Kind::Long(Number { min: None, max: None }), sensitive: false };
static R0: Pattern = Pattern::new(r"^[\x21-\x7E]+$");
static R1: Pattern = Pattern::new(r"[a-zA-Z0-9_-]+");
static R2: Pattern = Pattern::new(r"^[.$a-zA-Z0-9_-]+$");
static R3: Pattern = Pattern::new(r"[a-zA-Z0-9_-]+|^\$next");
static R4: Pattern = Pattern::new(r"[a-zA-Z0-9:_-]+");
static R5: Pattern = Pattern::new(r"[^\p{C}]+");
static R6: Pattern = Pattern::new(r"^[0-9]*$");
