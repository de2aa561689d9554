//! The rules of TG section 6, one by one.

use crate::support::{Run, S, flow};
use marram_expr::{DataType, Value};
use marram_flow::{Effect, EventType, Input, Stage, Status, StepStatus};

/// TG 6.9: messages of a device step with a response, in the guaranteed order, terminal message last.
#[test]
fn messages_come_in_the_order_of_the_table() {
    let program = flow()
        .variable("r", DataType::Int32)
        .step(S { name: "read", action: "sample", result: "r", out: &["got"], ..S::default() })
        .step(S { name: "dry?", when: "got", rules: &[("${r < 20}", &["dry"])], ..S::default() })
        .build();
    let mut run = Run::start(program, vec![]);
    let task = run.task("sample");
    for stage in [Stage::Started, Stage::Sent, Stage::Accepted] {
        run.feed(Input::Progress { task, stage });
    }
    run.after(5).reply("sample", "12");
    assert_eq!(
        run.trace(),
        [
            "START_FLOW_EXECUTION_TASK",
            "EXECUTION_STARTED",
            "SCHEDULE_NEXT_READY_STEPS_TASK",
            "STEP_STARTED read",
            "ACTIVITY_SCHEDULED read",
            "ACTIVITY_STARTED read",
            "THING_ACTION_TASK",
            "ACKNOWLEDGE_TASK_MESSAGE",
            "THING_ACTION_TASK_SUCCEEDED",
            "ACTIVITY_SUCCEEDED read",
            "STEP_SUCCEEDED read",
            "SCHEDULE_NEXT_READY_STEPS_TASK",
            "STEP_STARTED dry?",
            "ACTIVITY_SCHEDULED dry?",
            "ACTIVITY_STARTED dry?",
            "ACTIVITY_SUCCEEDED dry?",
            "STEP_SUCCEEDED dry?",
            "EXECUTION_SUCCEEDED",
        ]
    );
    let sent = run.last(EventType::ThingActionTask);
    assert_eq!((sent["topic"].as_str(), &sent["request"]), (Some("valve-1/sample"), &serde_json::json!({})));
    assert_eq!(run.last(EventType::ThingActionTaskSucceeded)["durationMs"], 5);
    assert_eq!(run.exec.variables(), [Value::Int32(12)]);
    assert!(matches!(run.log.last(), Some(Effect::Ended { status: Status::Succeeded, duration_ms: 5 })));
    let seqs: Vec<u64> =
        run.log.iter().filter_map(|e| if let Effect::Message(m) = e { Some(m.seq) } else { None }).collect();
    assert_eq!(seqs, (1..=18).collect::<Vec<_>>());
}

/// TG 6.3: steps without inEvent start together, a list joins, two producers activate the consumer twice.
#[test]
fn joins_and_merges_follow_tokens() {
    // (consumer's inEvent, outEvent of a, outEvent of b, activations of the consumer after a and b succeeded)
    let table: &[(&str, &[&str], &[&str], u32)] = &[
        ("x,y", &["x"], &["y"], 1),
        ("x,y", &["x"], &["x"], 0),
        ("x", &["x"], &["x"], 2),
        ("x || y", &["x"], &["y"], 2),
        ("x && y", &["x"], &["y"], 1),
        ("x && !y", &["x"], &["z"], 1),
        ("z", &["x"], &["y"], 0),
    ];
    for (when, a, b, wanted) in table {
        let program = flow()
            .step(S { name: "a", action: "ping", out: a, ..S::default() })
            .step(S { name: "b", action: "sample", out: b, ..S::default() })
            .step(S { name: "c", when, ..S::default() })
            .build();
        let mut run = Run::start(program, vec![]);
        assert_eq!(run.in_flight().len(), 2, "both start at once");
        run.accept("ping").reply("sample", "1");
        assert_eq!(run.activations()[2], *wanted, "{when} after {a:?} and {b:?}");
        assert_eq!(run.exec.status(), Status::Succeeded);
    }
}

/// TG 6.3: tokens that arrive while the consumer runs wait for its next activation.
#[test]
fn tokens_wait_while_the_step_runs() {
    let program = flow()
        .step(S { name: "a", default: &["go"], ..S::default() })
        .step(S { name: "b", default: &["go"], ..S::default() })
        .step(S { name: "c", when: "go", action: "ping", ..S::default() })
        .build();
    let mut run = Run::start(program, vec![]);
    assert_eq!(run.activations(), [1, 1, 1]);
    run.accept("ping");
    assert_eq!((run.activations(), run.exec.status()), (vec![1, 1, 2], Status::Running));
    run.accept("ping");
    assert_eq!(run.exec.status(), Status::Succeeded);
}

/// TG 6.3: 1 000 activations of a step, then `TG.LoopLimit`.
#[test]
fn endless_loop_reaches_the_limit() {
    let program = flow()
        .step(S { name: "first", default: &["again"], ..S::default() })
        .step(S { name: "loop", when: "again", default: &["again"], ..S::default() })
        .build();
    let run = Run::start(program, vec![]);
    assert_eq!(run.exec.status(), Status::Failed);
    assert_eq!(run.exec.fault().unwrap().name, "TG.LoopLimit");
    assert_eq!(run.activations(), [1, 1_001]);
    let steps: Vec<String> = (0..11).map(|n| format!("s{n}")).collect();
    let mut wide = flow().step(S { name: "first", default: &["e"], ..S::default() });
    for name in &steps {
        wide = wide.step(S { name, when: "e", default: if name == "s0" { &["e"] } else { &[] }, ..S::default() });
    }
    let run = Run::start(wide.build(), vec![]);
    assert_eq!(run.exec.fault().unwrap().name, "TG.LoopLimit");
    assert_eq!(run.activations().iter().sum::<u32>(), 10_001);
}

/// TG 6.3: a false or null condition skips (no events), an error fails the step.
#[test]
fn condition_decides_over_the_step() {
    let table = [
        ("n > 1", Value::Int32(2), StepStatus::Succeeded, 1, Status::Succeeded),
        ("n > 1", Value::Int32(1), StepStatus::Skipped, 0, Status::Succeeded),
        ("n", Value::Null, StepStatus::Skipped, 0, Status::Succeeded),
        ("1 / n > 0", Value::Int32(0), StepStatus::Failed, 0, Status::Failed),
    ];
    for (condition, n, step, next, status) in table {
        let program = flow()
            .parameter("n", DataType::Int32, false, None)
            .step(S { name: "a", condition, default: &["e"], ..S::default() })
            .step(S { name: "b", when: "e", ..S::default() })
            .build();
        let run = Run::start(program, vec![n.clone()]);
        assert_eq!(run.exec.steps()[0].status, step, "{condition} with {n:?}");
        assert_eq!((run.activations()[1], run.exec.status()), (next, status), "{condition} with {n:?}");
        if step == StepStatus::Skipped {
            assert_eq!(run.last(EventType::StepSucceeded)["skipped"], true);
            assert!(!run.trace().iter().any(|line| line.starts_with("STEP_STARTED")));
        }
    }
}

/// TG 6.5: retries wait `interval * rate^(n-1)`, per clause; then the first matching catch; then the execution fails.
#[test]
fn errors_are_retried_then_caught_then_fatal() {
    let program = |catches: &'static [(&'static [&'static str], &'static [&'static str])]| {
        flow()
            .step(S {
                name: "a",
                action: "ping",
                out: &["done"],
                retries: &[
                    (&["TG.ModbusIO"], 100, 2.0, 2),
                    (&["TG.TaskFailed"], 50, 1.0, 1),
                    (&["TG.ModbusIO"], 7, 1.0, 0),
                ],
                catches,
                ..S::default()
            })
            .step(S { name: "caught", when: "oops", ..S::default() })
            .step(S { name: "next", when: "done", ..S::default() })
            .build()
    };
    let mut run = Run::start(program(&[(&["TG.Timeout"], &["no"]), (&["TG.ModbusIO"], &["oops"])]), vec![]);
    for wait in [100, 200, 50] {
        run.fail("ping", "TG.ModbusIO");
        assert_eq!(run.last(EventType::ActivityFailed)["retryInMs"], wait);
        assert!(run.in_flight().is_empty());
        assert_eq!(run.exec.next_deadline(u64::MAX >> 1), Some(run.now.plus(wait)));
        run.after(wait - 1).feed(Input::Tick);
        assert!(run.in_flight().is_empty(), "not before its time");
        run.after(1).feed(Input::Tick);
        assert_eq!(run.in_flight().len(), 1);
    }
    run.fail("ping", "TG.ModbusIO");
    assert!(run.last(EventType::ActivityFailed).get("retryInMs").is_none());
    assert_eq!(run.last(EventType::StepFailed)["caughtBy"], "catch TG.ModbusIO");
    assert_eq!((run.activations(), run.exec.status()), (vec![1, 1, 0], Status::Succeeded));
    assert_eq!(run.exec.steps()[0].status, StepStatus::Failed);

    let mut run = Run::start(program(&[(&["TG.Timeout"], &["oops"])]), vec![]);
    run.fail("ping", "Custom").after(50).feed(Input::Tick).fail("ping", "Custom");
    assert_eq!(run.exec.status(), Status::Failed);
    let last = run.last(EventType::ExecutionFailed);
    assert_eq!((last["error"].as_str(), last["stepName"].as_str()), (Some("Custom"), Some("a")));
}

/// TG 6.5.3: failing cancels what is in flight; late responses change nothing; the terminal message stays the last.
#[test]
fn failure_cancels_everything_in_flight() {
    let program = flow()
        .step(S { name: "a", action: "ping", ..S::default() })
        .step(S { name: "b", action: "sample", out: &["e"], ..S::default() })
        .step(S { name: "c", when: "e", ..S::default() })
        .build();
    let mut run = Run::start(program, vec![]);
    let late = run.task("sample");
    run.fail("ping", "TG.Permission");
    assert!(run.log.contains(&Effect::Cancel { task: late }));
    let before = (run.exec.clone(), run.log.len());
    run.feed(Input::Replied { task: late, reply: marram_flow::Reply::Payload("1".into()) }).feed(Input::Tick);
    assert_eq!((&run.exec, run.log.len()), (&before.0, before.1));
    assert_eq!(run.trace().last().unwrap(), "EXECUTION_FAILED a");
    assert_eq!(run.trace().iter().filter(|line| line.starts_with("EXECUTION_")).count(), 2, "started and failed");
}

/// TG 6.4: timeouts of an attempt (60 s for devices) and of the execution (24 h -> ABORTED).
#[test]
fn timeouts_are_kept() {
    let build = |timeout_ms, retries| {
        flow().step(S { name: "a", action: "sample", timeout_ms, retries, ..S::default() }).build()
    };
    for (timeout_ms, wanted) in [(None, 60_000), (Some(250), 250)] {
        let mut run = Run::start(build(timeout_ms, &[]), vec![]);
        run.after(wanted - 1).feed(Input::Tick);
        assert_eq!(run.exec.status(), Status::Running);
        run.after(1).feed(Input::Tick);
        assert_eq!(run.exec.fault().unwrap().name, "TG.Timeout");
        assert!(run.log.contains(&Effect::Cancel { task: 0 }));
    }
    let mut run = Run::start(build(Some(1_000), &[(&["States.Timeout"], 1, 1.0, u32::MAX)]), vec![]);
    run.after(24 * 3_600_000).feed(Input::Tick);
    assert_eq!(run.exec.status(), Status::Aborted);
    assert_eq!(run.last(EventType::ExecutionAborted)["reason"], "execution timeout");
}

/// TG 6.8: after a restart attempts in flight fail with `TG.RuntimeRestarted` through OnError; waiting retries go on.
#[test]
fn restart_fails_what_was_in_flight() {
    let program = flow()
        .step(S { name: "a", action: "ping", catches: &[(&["TG.RuntimeRestarted"], &["lost"])], ..S::default() })
        .step(S { name: "b", action: "dose", retries: &[(&["States.ALL"], 100, 1.0, 1)], ..S::default() })
        .step(S { name: "c", when: "lost", ..S::default() })
        .build();
    let mut run = Run::start(program, vec![]);
    run.fail("dose", "TG.ModbusIO").feed(Input::Restarted);
    assert_eq!(run.activations(), [1, 1, 1]);
    assert_eq!(run.exec.status(), Status::Running);
    assert!(run.in_flight().is_empty());
    run.after(100).feed(Input::Tick).accept("dose");
    assert_eq!(run.exec.status(), Status::Succeeded);
}

/// TG 6.6: checks run after `out` and before `outEvent`, do not suppress it, and are not retried.
#[test]
fn checks_run_before_out_events() {
    let program = |condition: &'static str| {
        flow()
            .variable("r", DataType::Int32)
            .step(S {
                name: "a",
                action: "sample",
                result: "r",
                out: &["out"],
                checks: &[(condition, &["pass"], &["fail"])],
                retries: &[(&["States.ALL"], 1, 1.0, 5)],
                ..S::default()
            })
            .build()
    };
    for (condition, events) in
        [("r > 10", serde_json::json!(["pass", "out"])), ("r > 20", serde_json::json!(["fail", "out"]))]
    {
        let mut run = Run::start(program(condition), vec![]);
        run.reply("sample", "15");
        assert_eq!(run.last(EventType::StepSucceeded)["outEvents"], events);
    }
    let mut run = Run::start(program("1 / (r - r) == 0"), vec![]);
    run.reply("sample", "15");
    assert_eq!(run.exec.fault().unwrap().name, "TG.ExpressionError");
    assert_eq!(run.exec.status(), Status::Failed);
}

/// TG 6.4, 6.5: what the device answers wrongly, or a thing that is not bound, has its own error name.
#[test]
fn activity_failures_have_their_names() {
    let sample = || S { name: "a", action: "sample", ..S::default() };
    let mut run = Run::start(flow().step(sample()).build(), vec![]);
    run.reply("sample", "\"many\"");
    assert_eq!(run.exec.fault().unwrap().name, "TG.PayloadInvalid");
    let run = Run::start(flow().step(S { thing: "valve-2", ..sample() }).build(), vec![]);
    assert_eq!(run.exec.fault().unwrap().name, "TG.DeviceNotBound");
    let dose = S { name: "a", action: "dose", args: &[("Litres", "${'x'}")], ..S::default() };
    let run = Run::start(flow().step(dose).build(), vec![]);
    assert_eq!(run.exec.fault().unwrap().name, "TG.TypeError");
    let wrong = S { args: &[("litres", "${1 / 0}")], name: "a", action: "dose", ..S::default() };
    let run = Run::start(flow().step(wrong).build(), vec![]);
    assert_eq!(run.exec.fault().unwrap().name, "TG.ExpressionError");
}

/// TG 3.11, 6.1: parameters are coerced, defaults stand in, a missing required one fails the execution at its start.
#[test]
fn parameters_are_held_against_their_types() {
    let program = || {
        flow()
            .parameter("litres", DataType::Float32, false, Some(Value::Float32(2.5)))
            .parameter("valve", DataType::String, true, None)
            .step(S { name: "a", action: "dose", thing: "${valve}", args: &[("litres", "${litres}")], ..S::default() })
            .build()
    };
    let mut run = Run::start(program(), vec![Value::Null, Value::string("valve-1")]);
    run.accept("dose");
    assert_eq!(run.exec.status(), Status::Succeeded);
    assert_eq!(run.last(EventType::ThingActionTask)["request"], serde_json::json!({"l": 2.5}));
    for params in [vec![], vec![Value::string("much"), Value::string("valve-1")], vec![Value::Null; 3]] {
        let run = Run::start(program(), params.clone());
        assert_eq!(run.exec.fault().unwrap().name, "TG.TypeError", "{params:?}");
        assert_eq!(run.trace().last().unwrap(), "EXECUTION_FAILED");
    }
}

/// TG 11.5: a secret parameter shows in no message, whatever carries it.
#[test]
fn secret_parameters_are_redacted() {
    let program = flow()
        .parameter("secretCode", DataType::String, true, None)
        .step(S { name: "a", action: "dose", thing: "${'valve-' + secretCode}", ..S::default() })
        .build();
    let run = Run::start(program, vec![Value::string("hunter2")]);
    for effect in &run.log {
        if let Effect::Message(message) = effect {
            assert!(!message.payload.contains("hunter2"), "{message:?}");
        }
    }
    assert_eq!(run.last(EventType::ExecutionStarted)["flowParams"]["secretCode"], "***");
}

/// TG 6.7: an abort ends the execution, once.
#[test]
fn abort_ends_the_execution() {
    let mut run = Run::start(flow().step(S { name: "a", action: "sample", ..S::default() }).build(), vec![]);
    run.feed(Input::Abort { reason: "undeployed".into() }).feed(Input::Abort { reason: "again".into() });
    assert_eq!(run.exec.status(), Status::Aborted);
    assert_eq!(run.trace().iter().filter(|line| line.starts_with("EXECUTION_ABORTED")).count(), 1);
    assert!(run.log.contains(&Effect::Cancel { task: 0 }));
}
