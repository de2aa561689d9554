//! Timers, scheduled jobs and large roll-outs over a real store and a clock that the test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use marram_aws_api::ApiError;
use marram_broker::Message;
use marram_identity::{BoxFuture, IamService, Principal, Service};
use marram_jobs::{Jobs, JobsDataService, JobsService};
use marram_objects::{DEFAULT_MAX_OBJECT, Objects, ObjectsOptions};
use marram_pki::{CertificateAuthority, Validity};
use marram_registry::{Endpoints, MessagePort, Outbox, PublishError, Realm, Registry, RegistryOptions};
use marram_testkit::Control;
use marram_types::{AccountId, Partition, Region};
use serde_json::{Value, json};

/// Patience with the background task, in real time.
const DEADLINE: Duration = Duration::from_secs(10);

/// Messages as they would be published.
#[derive(Default)]
struct Published(Mutex<Vec<String>>);

impl MessagePort for Published {
    fn publish<'a>(&'a self, realm: &'a Realm, message: Message) -> BoxFuture<'a, Result<(), PublishError>> {
        self.publish_now(realm, message);
        Box::pin(std::future::ready(Ok(())))
    }
    fn publish_now(&self, _: &Realm, message: Message) {
        self.0.lock().unwrap().push(message.topic.to_string());
    }
    fn retained(&self, _: &Realm, _: &str) -> Option<Arc<Message>> {
        None
    }
    fn retained_after(&self, _: &Realm, _: &str, _: usize) -> Vec<Arc<Message>> {
        Vec::new()
    }
}

struct Bench {
    control: Control,
    registry: Registry,
    jobs: JobsService,
    data: JobsDataService,
    published: Arc<Published>,
    clockwork: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.clockwork.abort();
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open(dir.path(), Region::default_region());
        control.store.migrate(marram_registry::MIGRATIONS).unwrap();
        control.store.migrate(marram_jobs::MIGRATIONS).unwrap();
        let authority = CertificateAuthority::create("CA", Validity::starting(1_800_000_000, 86_400 * 3650)).unwrap();
        let registry = Registry::new(RegistryOptions::new(Arc::new(authority), Endpoints::single("localhost")));
        let published = Arc::new(Published::default());
        control.store.migrate(marram_objects::MIGRATIONS).unwrap();
        let objects = ObjectsOptions {
            root: dir.path().join("objects"),
            region: Region::default_region(),
            clock: control.clock.clone(),
            hosts: Vec::new(),
            max_object: DEFAULT_MAX_OBJECT,
            secret: vec![7; 32],
            base_url: "https://plant.example:8443".to_owned(),
        };
        let objects = Objects::open(control.identity.clone(), control.store.clone(), objects).unwrap();
        let jobs = Jobs::new(control.identity.clone(), Outbox::start(published.clone()), objects);
        registry.watch_memberships(Arc::new(jobs.clone()));
        let clockwork = tokio::spawn({
            let jobs = jobs.clone();
            async move { jobs.run().await }
        });
        let (data, jobs) = (JobsDataService::new(jobs.clone()), JobsService::new(jobs));
        Self { control, registry, jobs, data, published, clockwork, _dir: dir }
    }

    async fn call(&self, service: &dyn Service, operation: &str, input: Value) -> Result<Value, ApiError> {
        let principal = Principal::root(AccountId::first(), Partition::aws().as_str());
        self.control.call(service, principal, operation, input).await
    }

    async fn ok(&self, service: &dyn Service, operation: &str, input: Value) -> Value {
        self.call(service, operation, input).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    async fn thing(&self, name: &str) -> String {
        let made = self.ok(&self.registry, "CreateThing", json!({"thingName": name})).await;
        made["thingArn"].as_str().unwrap().to_owned()
    }

    async fn job(&self, id: &str) -> Value {
        self.ok(&self.jobs, "DescribeJob", json!({"jobId": id})).await["job"].clone()
    }

    fn advance(&self, seconds: u64) {
        self.control.clock.advance(Duration::from_secs(seconds));
    }

    /// Waits until a job is as wanted: work of the clockwork.
    async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let job = self.job(id).await;
            if wanted(&job) {
                return job;
            }
            assert!(tokio::time::Instant::now() < deadline, "{job}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// CP 4.7, 5.9: an execution in progress for too long is TIMED_OUT and tried again while retries are left; the step timer ends
/// it too, and can be cleared.
#[tokio::test]
async fn executions_time_out() {
    let bench = Bench::new();
    let target = bench.thing("t").await;
    let input = json!({
        "jobId": "j", "targets": [target], "document": "{}",
        "timeoutConfig": {"inProgressTimeoutInMinutes": 10},
        "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "TIMED_OUT", "numberOfRetries": 1}]},
    });
    bench.ok(&bench.jobs, "CreateJob", input).await;
    let start = json!({"thingName": "t"});
    let first = bench.ok(&bench.data, "StartNextPendingJobExecution", start.clone()).await;
    assert_eq!(first["execution"]["approximateSecondsBeforeTimedOut"], 600);
    bench.advance(601);
    bench.until("j", |job| job["jobProcessDetails"]["numberOfQueuedThings"] == 1).await;
    let second = bench
        .ok(&bench.data, "StartNextPendingJobExecution", json!({"thingName": "t", "stepTimeoutInMinutes": 1}))
        .await;
    assert_eq!(second["execution"]["executionNumber"], 2);
    assert_eq!(second["execution"]["approximateSecondsBeforeTimedOut"], 60);
    let keep = json!({"thingName": "t", "jobId": "j", "status": "IN_PROGRESS", "stepTimeoutInMinutes": -1,
                      "includeJobExecutionState": true});
    bench.ok(&bench.data, "UpdateJobExecution", keep).await;
    bench.advance(61);
    let left = bench.ok(&bench.data, "DescribeJobExecution", json!({"thingName": "t", "jobId": "j"})).await;
    assert_eq!(
        left["execution"]["approximateSecondsBeforeTimedOut"], 539,
        "the step timer was cleared, the job's goes on"
    );
    bench.advance(540);
    let job = bench.until("j", |job| job["status"] == "COMPLETED").await;
    assert_eq!(job["jobProcessDetails"]["numberOfTimedOutThings"], 1);
    let topics = bench.published.0.lock().unwrap().clone();
    assert_eq!(topics.last().map(String::as_str), Some("$aws/things/t/jobs/notify-next"));
}

/// CP 4.7: a scheduled job begins at its time and ends at its time, as its end behaviour says.
#[tokio::test]
async fn jobs_keep_their_schedule() {
    let bench = Bench::new();
    let target = bench.thing("t").await;
    let moment = |seconds: i64| {
        let at = marram_types::Timestamp::from_secs(bench.control.identity.now().as_secs() + seconds);
        at.rfc3339()[.."2026-01-31T10:00".len()].to_owned()
    };
    let schedule = json!({"startTime": moment(3600), "endTime": moment(7200), "endBehavior": "CANCEL"});
    let input = json!({"jobId": "j", "targets": [target], "document": "{}", "schedulingConfig": schedule});
    bench.ok(&bench.jobs, "CreateJob", input).await;
    assert_eq!(bench.job("j").await["status"], "SCHEDULED");
    bench.advance(3600);
    bench.until("j", |job| job["jobProcessDetails"]["numberOfQueuedThings"] == 1).await;
    bench.advance(3600);
    let job = bench.until("j", |job| job["status"] == "CANCELED").await;
    assert_eq!(job["jobProcessDetails"]["numberOfCanceledThings"], 1);
}

/// CP 4.7: a group of more things than one transaction takes is handed out in the background; counts agree, and every thing
/// hears once.
#[tokio::test]
async fn large_groups_are_handed_out_in_rounds() {
    const THINGS: usize = 1200;
    let bench = Bench::new();
    let group = bench.ok(&bench.registry, "CreateThingGroup", json!({"thingGroupName": "g"})).await;
    for number in 0..THINGS {
        let name = format!("t{number}");
        bench.thing(&name).await;
        bench.ok(&bench.registry, "AddThingToThingGroup", json!({"thingGroupName": "g", "thingName": name})).await;
    }
    let input = json!({"jobId": "j", "targets": [group["thingGroupArn"]], "document": "{}"});
    bench.ok(&bench.jobs, "CreateJob", input).await;
    bench.until("j", |job| job["jobProcessDetails"]["numberOfQueuedThings"] == THINGS).await;
    bench.ok(&bench.jobs, "CancelJob", json!({"jobId": "j"})).await;
    let job = bench.job("j").await;
    assert_eq!(job["jobProcessDetails"]["numberOfCanceledThings"], THINGS);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let notified = || bench.published.0.lock().unwrap().iter().filter(|topic| topic.ends_with("/jobs/notify")).count();
    while notified() < 2 * THINGS {
        assert!(tokio::time::Instant::now() < deadline, "{} notifications", notified());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(notified(), 2 * THINGS);
}

/// CP 4.7: a document with placeholders reaches devices with URLs signed as the job's role; a role that cannot be assumed any
/// more is a refusal that changes nothing, and other jobs are as they were.
#[tokio::test]
async fn placeholders_become_presigned_urls() {
    let bench = Bench::new();
    let target = bench.thing("t").await;
    bench.control.identity.create_account("first", Some(AccountId::first())).await.unwrap();
    let iam = IamService::new(bench.control.identity.clone());
    let trust = |service: &str| {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]})
        .to_string()
    };
    let role = json!({"RoleName": "Parts", "AssumeRolePolicyDocument": trust("iot.amazonaws.com")});
    let role = bench.ok(&iam, "CreateRole", role).await["Role"]["Arn"].as_str().unwrap().to_owned();
    let document = r#"{"get": "${aws:iot:s3-presigned-url:https://s3.eu-west-1.amazonaws.com/parts/a b}"}"#;
    let job = |id: &str, document: &str, role: Option<&str>| {
        let mut input = json!({"jobId": id, "targets": [target], "document": document});
        if let Some(role) = role {
            input["presignedUrlConfig"] = json!({"roleArn": role, "expiresInSec": 60});
        }
        input
    };
    let foreign = role.replace("role/Parts", "role/Absent");
    for (document, role) in [
        (document, None),
        (document, Some(foreign.as_str())),
        ("{\"a\": \"${aws:iot:s3-presigned-url:ftp://x}\"}", Some(role.as_str())),
    ] {
        let refused = bench.call(&bench.jobs, "CreateJob", job("j", document, role)).await.unwrap_err();
        assert_eq!(refused.code, "InvalidRequestException", "{document} {role:?}");
    }
    bench.ok(&bench.jobs, "CreateJob", job("j", document, Some(&role))).await;
    let describe = json!({"thingName": "t", "jobId": "j"});
    let execution = bench.ok(&bench.data, "DescribeJobExecution", describe.clone()).await;
    let delivered: Value = serde_json::from_str(execution["execution"]["jobDocument"].as_str().unwrap()).unwrap();
    let url = delivered["get"].as_str().unwrap();
    assert!(url.starts_with("https://plant.example:8443/parts/a%20b?X-Amz-Algorithm="), "{url}");
    assert!(url.contains("X-Amz-Expires=60&") && url.contains("&X-Amz-Signature="), "{url}");

    let untrusted = json!({"RoleName": "Parts", "PolicyDocument": trust("lambda.amazonaws.com")});
    bench.ok(&iam, "UpdateAssumeRolePolicy", untrusted).await;
    let start = json!({"thingName": "t"});
    let refused = bench.call(&bench.data, "StartNextPendingJobExecution", start).await.unwrap_err();
    assert_eq!(refused.code, "InvalidRequestException");
    let without = json!({"thingName": "t", "jobId": "j", "includeJobDocument": false});
    let execution = bench.ok(&bench.data, "DescribeJobExecution", without).await;
    assert_eq!(execution["execution"]["status"], "QUEUED");
    let kept = bench.ok(&bench.jobs, "GetJobDocument", json!({"jobId": "j"})).await;
    assert_eq!(kept["document"], document);
}

/// CP 4.7: executions are handed out while a maintenance window is open; things that come later wait for the next one.
#[tokio::test]
async fn windows_bound_the_roll_out() {
    let bench = Bench::new();
    let group = bench.ok(&bench.registry, "CreateThingGroup", json!({"thingGroupName": "g"})).await;
    let join = async |name: &str| {
        bench.thing(name).await;
        bench.ok(&bench.registry, "AddThingToThingGroup", json!({"thingGroupName": "g", "thingName": name})).await;
    };
    join("a").await;
    let opens = marram_types::Timestamp::from_secs(bench.control.identity.now().as_secs() + 7200).rfc3339();
    let cron = format!("cron({} {} * * ? *)", &opens[14..16], &opens[11..13]);
    let windows = json!([{"startTime": cron, "durationInMinutes": 60}]);
    let input = |id: &str, windows: &Value| {
        json!({"jobId": id, "targets": [group["thingGroupArn"]], "document": "{}", "targetSelection": "CONTINUOUS",
               "schedulingConfig": {"maintenanceWindows": windows}})
    };
    for cron in ["at noon", "cron(0 0 1 1 ? 2001)"] {
        let never = json!([{"startTime": cron, "durationInMinutes": 60}]);
        let refused = bench.call(&bench.jobs, "CreateJob", input("never", &never)).await.unwrap_err();
        assert_eq!(refused.code, "InvalidRequestException", "{cron}");
    }
    bench.ok(&bench.jobs, "CreateJob", input("j", &windows)).await;
    let job = bench.job("j").await;
    assert_eq!(job["status"], "SCHEDULED");
    assert_eq!(job["scheduledJobRollouts"], json!([{"startTime": opens[..16]}]));
    bench.advance(7200);
    bench.until("j", |job| job["jobProcessDetails"]["numberOfQueuedThings"] == 1).await;
    bench.advance(3600);
    join("b").await;
    bench.advance(60);
    // Another job shows that the clockwork has looked at everything due.
    let open = bench.thing("c").await;
    bench.ok(&bench.jobs, "CreateJob", json!({"jobId": "other", "targets": [open], "document": "{}"})).await;
    bench.until("other", |job| job["jobProcessDetails"]["numberOfQueuedThings"] == 1).await;
    assert_eq!(bench.job("j").await["jobProcessDetails"]["numberOfQueuedThings"], 1, "the window is closed");
    bench.advance(23 * 3600);
    bench.until("j", |job| job["jobProcessDetails"]["numberOfQueuedThings"] == 2).await;
}

/// CP 4.7: a continuous job stays done on a thing as long as that is a target, in whichever group; a thing that leaves and comes back
/// gets the job again, and is counted once.
#[tokio::test]
async fn things_that_come_back_get_the_job_again() {
    let bench = Bench::new();
    let root = bench.ok(&bench.registry, "CreateThingGroup", json!({"thingGroupName": "root"})).await;
    for child in ["left", "right"] {
        let input = json!({"thingGroupName": child, "parentGroupName": "root"});
        bench.ok(&bench.registry, "CreateThingGroup", input).await;
    }
    bench.thing("t").await;
    let member = async |operation: &str, group: &str| {
        bench.ok(&bench.registry, operation, json!({"thingGroupName": group, "thingName": "t"})).await;
    };
    let attempts = async || -> Vec<(i64, String)> {
        let listed = bench.ok(&bench.jobs, "ListJobExecutionsForThing", json!({"thingName": "t"})).await;
        let one = |one: &Value| {
            let summary = &one["jobExecutionSummary"];
            (summary["executionNumber"].as_i64().unwrap(), summary["status"].as_str().unwrap().to_owned())
        };
        let mut all: Vec<(i64, String)> = listed["executionSummaries"].as_array().unwrap().iter().map(one).collect();
        all.sort();
        all
    };
    let done = async || {
        let done = json!({"thingName": "t", "jobId": "j", "status": "SUCCEEDED"});
        bench.ok(&bench.data, "UpdateJobExecution", done).await;
    };
    let all =
        |statuses: &[&str]| -> Vec<(i64, String)> { (1..).zip(statuses.iter().map(|s| (*s).to_owned())).collect() };
    member("AddThingToThingGroup", "left").await;
    let input =
        json!({"jobId": "j", "targets": [root["thingGroupArn"]], "document": "{}", "targetSelection": "CONTINUOUS"});
    bench.ok(&bench.jobs, "CreateJob", input).await;
    done().await;
    let moved = json!({"thingName": "t", "thingGroupsToAdd": ["right"], "thingGroupsToRemove": ["left"]});
    bench.ok(&bench.registry, "UpdateThingGroupsForThing", moved).await;
    assert_eq!(attempts().await, all(&["SUCCEEDED"]), "it was a target all the time");
    member("RemoveThingFromThingGroup", "right").await;
    assert_eq!(attempts().await, all(&["SUCCEEDED"]), "what was done stays done");
    member("AddThingToThingGroup", "right").await;
    assert_eq!(attempts().await, all(&["SUCCEEDED", "QUEUED"]));
    member("RemoveThingFromThingGroup", "right").await;
    member("AddThingToThingGroup", "right").await;
    assert_eq!(attempts().await, all(&["SUCCEEDED", "REMOVED", "QUEUED"]));
    done().await;
    let details = bench.job("j").await["jobProcessDetails"].clone();
    for (name, wanted) in [("Succeeded", 1), ("Removed", 0), ("Queued", 0)] {
        assert_eq!(details[format!("numberOf{name}Things")], wanted, "{name} of {details}");
    }
}

/// CP 4.9: events of jobs and of executions, to an account that asked for them and for what it asked.
#[tokio::test]
async fn accounts_hear_what_they_asked_for() {
    let bench = Bench::new();
    let target = bench.thing("t").await;
    let ask = async |kind: &str, enabled: bool| {
        let input = json!({"eventConfigurations": {kind: {"Enabled": enabled}}});
        bench.call(&bench.jobs, "UpdateEventConfigurations", input).await
    };
    let run = async |id: &str| {
        bench.ok(&bench.jobs, "CreateJob", json!({"jobId": id, "targets": [target], "document": "{}"})).await;
        let done = json!({"thingName": "t", "jobId": id, "status": "SUCCEEDED"});
        bench.ok(&bench.data, "UpdateJobExecution", done).await;
    };
    let events = || -> Vec<String> {
        let topics = std::mem::take(&mut *bench.published.0.lock().unwrap());
        topics.into_iter().filter_map(|topic| Some(topic.strip_prefix("$aws/events/")?.to_owned())).collect()
    };
    run("quiet").await;
    ask("JOB", true).await.unwrap();
    run("jobs").await;
    ask("JOB", false).await.unwrap();
    ask("JOB_EXECUTION", true).await.unwrap();
    run("executions").await;
    ask("JOB", true).await.unwrap();
    bench.ok(&bench.jobs, "CreateJob", json!({"jobId": "both", "targets": [target], "document": "{}"})).await;
    bench.ok(&bench.jobs, "CancelJob", json!({"jobId": "both"})).await;
    bench.ok(&bench.jobs, "DeleteJob", json!({"jobId": "both"})).await;
    let wanted = [
        "job/jobs/completed",
        "jobExecution/executions/succeeded",
        "job/both/cancellation_in_progress",
        "jobExecution/both/canceled",
        "job/both/canceled",
        "job/both/deletion_in_progress",
        "job/both/deleted",
    ];
    let mut found = Vec::new();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while found.len() < wanted.len() {
        assert!(tokio::time::Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        found.extend(events());
    }
    assert_eq!(found, wanted);
    assert_eq!(ask("THING", true).await.unwrap_err().code, "InvalidRequestException");
    ask("THING", false).await.unwrap();
    let described = bench.ok(&bench.jobs, "DescribeEventConfigurations", json!({})).await;
    assert_eq!(described["eventConfigurations"]["JOB"]["Enabled"], true);
    assert_eq!(described["eventConfigurations"]["THING"]["Enabled"], false);
}
