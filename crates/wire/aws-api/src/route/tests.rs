//! Routing as the SDKs exercise it.

use super::*;

fn request<'a>(method: &'a str, target: &'a str, headers: &'a [(&'a str, &'a str)], body: &'a str) -> Request<'a> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request { method, path, query, headers, body: body.as_bytes() }
}

/// What a row expects: `service Operation label=value ...` or `! service Code status`.
fn check(scope: &str, request: &Request<'_>, expected: &str) {
    let got = match route(request, scope) {
        Ok(matched) => {
            let labels: Vec<_> = matched.labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("{} {}{}", matched.operation.service, matched.operation.name, labels.concat())
        }
        Err(refusal) => format!("! {} {} {}", refusal.service, refusal.error.code, refusal.error.status),
    };
    assert_eq!(got, expected, "{scope} {} {}", request.method, request.path);
}

/// CP 1.7, 1.8: the scope picks the service, raw segments are matched before they are decoded, literals win over labels.
#[test]
fn paths_lead_to_operations() {
    let rows = [
        ("iot", "GET", "/things/lamp", "iot DescribeThing thingName=lamp"),
        ("iot", "GET", "/things?maxResults=1", "iot ListThings"),
        ("iot", "POST", "/things", "iot RegisterThing"),
        ("iot", "GET", "/things/", "! iot UnknownOperationException 404"),
        ("iot", "GET", "/things/a%2Fb", "iot DescribeThing thingName=a/b"),
        ("iot", "GET", "/things/a/b", "! iot UnknownOperationException 404"),
        ("iot", "GET", "//things/lamp", "! iot UnknownOperationException 404"),
        ("iot", "GET", "/x/../things/lamp", "! iot UnknownOperationException 404"),
        ("iot", "GET", "/Things/lamp", "! iot UnknownOperationException 404"),
        ("iot", "PUT", "/thing-groups/addThingToThingGroup", "iot AddThingToThingGroup"),
        (
            "iot",
            "GET",
            "/destinations/arn:aws:iot:r:1:ruledestination/http/u",
            "iot GetTopicRuleDestination arn=arn:aws:iot:r:1:ruledestination/http/u",
        ),
        ("iot", "GET", "/things/t/jobs", "iot ListJobExecutionsForThing thingName=t"),
        ("iot-jobs-data", "GET", "/things/t/jobs", "iot-jobs-data GetPendingJobExecutions thingName=t"),
        ("iot-jobs-data", "PUT", "/things/t/jobs/$next", "iot-jobs-data StartNextPendingJobExecution thingName=t"),
        ("iot-jobs-data", "PUT", "/things/t/jobs/%24next", "iot-jobs-data StartNextPendingJobExecution thingName=t"),
        ("iotdata", "POST", "/topics/a%2Fb%20c?qos=1", "iot-data Publish topic=a/b c"),
        ("iotdevicegateway", "POST", "/topics//a//b", "iot-data Publish topic=/a//b"),
        ("iotdata", "GET", "/things/t/shadow?name=n", "iot-data GetThingShadow thingName=t"),
        ("iot", "GET", "/things/t/shadow", "! iot UnknownOperationException 404"),
        ("iotdata", "POST", "/topics/%ff", "! iot-data UnknownOperationException 404"),
        ("greengrass", "GET", "/greengrass/servicerole", "greengrassv2 GetServiceRoleForAccount"),
        (
            "greengrass",
            "GET",
            "/tags/arn%3Aaws%3Agreengrass%3Ar%3A1%3A%2Fgreengrass%2Fgroups%2Fg",
            "greengrass ListTagsForResource resource-arn=arn:aws:greengrass:r:1:/greengrass/groups/g",
        ),
        ("greengrass", "GET", "/greengrass/groups", "greengrass ListGroups"),
        ("s3", "GET", "/bucket", "! s3 UnknownOperationException 400"),
        ("ec2", "GET", "/bucket", "! iot UnknownOperationException 404"),
    ];
    for (scope, method, target, expected) in rows {
        check(scope, &request(method, target, &[], ""), expected);
    }
}

/// CP 1.8 step 4: a target must belong to the scope's service.
#[test]
fn targets_lead_to_operations() {
    let rows = [
        ("iotthingsgraph", "IotThingsGraphFrontEndService.CreateFlowTemplate", "iotthingsgraph CreateFlowTemplate"),
        ("iotthingsgraph", "IotThingsGraphFrontEndService.Nope", "! iotthingsgraph UnknownOperationException 400"),
        ("iotthingsgraph", "CloudTrail_20131101.LookupEvents", "! iotthingsgraph UnknownOperationException 400"),
        ("cloudtrail", "CloudTrail_20131101.LookupEvents", "cloudtrail LookupEvents"),
        (
            "cloudtrail",
            "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
            "cloudtrail LookupEvents",
        ),
        ("iot", "IotThingsGraphFrontEndService.CreateFlowTemplate", "! iot UnknownOperationException 404"),
    ];
    for (scope, target, expected) in rows {
        check(scope, &request("POST", "/", &[("x-amz-target", target)], "{}"), expected);
    }
}

/// CP 1.9: forms and query strings; `Version` must match.
#[test]
fn actions_lead_to_operations() {
    let rows = [
        ("sts", "POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", "sts GetCallerIdentity"),
        ("sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "", "sts GetCallerIdentity"),
        ("sts", "POST", "/", "Action=GetCallerIdentity&Version=2010-05-08", "! sts InvalidAction 400"),
        ("iam", "POST", "/", "Action=GetCallerIdentity&Version=2010-05-08", "! iam InvalidAction 400"),
        ("iam", "POST", "/", "Version=2010-05-08", "! iam MissingAction 400"),
        ("iam", "POST", "/x", "Action=ListUsers&Version=2010-05-08", "! iam UnknownOperationException 400"),
    ];
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    for (scope, method, target, body, expected) in rows {
        check(scope, &request(method, target, &headers, body), expected);
    }
}

/// CP 1.8 step 7: without a scope the request's form tells the dialect.
#[test]
fn dialect_is_guessed_without_a_scope() {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let target = [("x-amz-target", "IotThingsGraphFrontEndService.X")];
    assert_eq!(guess(&request("GET", "/things/x", &[], "")), ServiceId::Iot);
    assert_eq!(guess(&request("POST", "/", &form, "Action=ListUsers&Version=2010-05-08")), ServiceId::Iam);
    assert_eq!(guess(&request("POST", "/", &form, "Action=GetCallerIdentity")), ServiceId::Sts);
    assert_eq!(guess(&request("POST", "/", &target, "")), ServiceId::ThingsGraph);
}
