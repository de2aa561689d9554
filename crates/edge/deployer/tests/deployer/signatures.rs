//! What a core believes: its control plane's signature, over everything that decides what runs (SEC-154, security 8.2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::world::{ARN, Crash, World, signed};

fn key() -> Arc<Ed25519KeyPair> {
    Arc::new(Ed25519KeyPair::generate().unwrap())
}

fn world(key: &Arc<Ed25519KeyPair>) -> Arc<World> {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[("lib", "^1.0.0")]);
    world.publish("lib", "1.3.0", json!({"run": "fine"}), &[]);
    world.trust(key);
    world
}

/// A document with every kind of member.
fn document() -> Value {
    json!({
        "deploymentId": "d", "deploymentName": "n", "configurationArn": ARN, "creationTimestamp": 1_000,
        "failureHandlingPolicy": "ROLLBACK", "requiredCapabilities": ["SUB_DEPLOYMENTS"],
        "componentUpdatePolicy": {"timeout": 60, "action": "SKIP_NOTIFY_COMPONENTS"},
        "configurationValidationPolicy": {"timeout": 30},
        "components": {"app": {
            "version": "1.0.0", "runWith": {"posixUser": "u"},
            "configurationUpdate": {"merge": {"greeting": "hi", "deep": {"on": true, "rate": 0.1}}, "reset": ["/x"]},
        }},
    })
}

fn deploy(world: &World, job: &str, document: Value) {
    let mut cloud = world.cloud.lock().unwrap();
    cloud.told.clear();
    cloud.job = Some((job.to_owned(), document));
}

fn assert_refused(world: &World, why: &str, case: &str) {
    assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()), "{case}");
    let cause = world.detail("deployment-failure-cause");
    assert!(cause.contains(why), "{case}: {cause}");
    assert_eq!(world.detail("deployment-error-stack"), "[DEPLOYMENT_FAILURE, DEPLOYMENT_DOCUMENT_NOT_VALID]", "{case}");
    assert_eq!(world.versions(), BTreeMap::new(), "{case}");
}

/// Every way to change one leaf of a document, with its place.
fn alterations(value: &Value, place: &str, all: &mut Vec<(String, Value)>, root: &Value) {
    let mut with = |place: &str, what: &str, new: Value| {
        let mut changed = root.clone();
        *changed.pointer_mut(place).unwrap() = new;
        all.push((format!("{place} {what}"), changed));
    };
    match value {
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert("added".to_owned(), json!(1));
            with(place, "gains a member", Value::Object(more));
            for name in members.keys() {
                let mut less = members.clone();
                less.remove(name);
                with(place, &format!("loses {name}"), Value::Object(less));
            }
            for (name, member) in members {
                alterations(member, &format!("{place}/{name}"), all, root);
            }
        }
        Value::Array(items) => {
            with(place, "loses all", json!([]));
            for (at, item) in items.iter().enumerate() {
                alterations(item, &format!("{place}/{at}"), all, root);
            }
        }
        Value::String(text) => with(place, "differs", json!(format!("{text}x"))),
        Value::Number(number) => with(place, "differs", json!(number.as_f64().unwrap() + 0.5)),
        Value::Bool(flag) => with(place, "differs", json!(!flag)),
        Value::Null => with(place, "differs", json!(0)),
    }
}

/// SEC-154: what is signed is carried out; changed at any place, envelope included, it is refused before it is used.
#[tokio::test]
async fn a_changed_document_is_refused_whatever_was_changed() {
    let key = key();
    let good = signed(&key, &document());
    let world = world(&key);
    deploy(&world, "good", good.clone());
    world.run(None).await;
    assert_eq!(world.told().0, "SUCCEEDED", "{}", world.detail("deployment-failure-cause"));
    assert_eq!(world.versions(), [("app", "1.0.0"), ("lib", "1.3.0")].map(|(a, b)| (a.into(), b.into())).into());

    let mut all = Vec::new();
    alterations(&good, "", &mut all, &good);
    assert!(all.len() > 50, "{}", all.len());
    for (case, altered) in all {
        // An envelope with more beside what it needs still says the same.
        if case.starts_with("/marramSignature") && case.ends_with("gains a member") {
            continue;
        }
        let world = self::world(&key);
        deploy(&world, "altered", altered);
        world.run(None).await;
        assert_refused(&world, "the deployment document is refused: it", &case);
    }
}

/// SEC-154: each forgery by its reason.
#[tokio::test]
async fn forgeries_are_named() {
    let (ours, theirs) = (key(), key());
    let of = |arn: &str| {
        let mut other = document();
        other["configurationArn"] = json!(arn);
        signed(&ours, &other)
    };
    let elsewhere = ARN.replace("thinggroup/g", "thinggroup/elsewhere");
    #[rustfmt::skip]
    let table = [
        ("unsigned", document(), "it bears no signature"),
        ("another key", signed(&theirs, &document()), "it is signed with a key that this core does not trust"),
        ("another type", {
            let mut other = signed(&ours, &document());
            other["marramSignature"] = crate::world::envelope(&ours, marram_deploy::RECIPE_TYPE, &document());
            other
        }, "its signature cannot be read"),
        ("for another core", of(&ARN.replace("thinggroup/g", "thing/another")), "it is for another"),
        ("for another group", of(&elsewhere), "this core does not belong to it"),
        ("not even JSON", json!("nonsense"), "it bears no signature"),
    ];
    for (case, document, why) in table {
        let world = world(&ours);
        deploy(&world, "forged", document);
        world.run(None).await;
        assert_refused(&world, why, case);
    }
    // A key that cannot be read does not turn the check off; a list of keys lets one take the place of another.
    let world = world(&ours);
    world.set_trust(&json!("no key"));
    deploy(&world, "a", signed(&ours, &document()));
    world.run(None).await;
    assert_refused(&world, "system.deploymentPublicKey is not a base64 Ed25519 key", "unreadable key");
    let public = |key: &Ed25519KeyPair| {
        use aws_lc_rs::signature::KeyPair;
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(key.public_key().as_ref())
    };
    world.set_trust(&json!([public(&theirs), public(&ours)]));
    deploy(&world, "b", signed(&theirs, &document()));
    world.run(None).await;
    assert_eq!(world.told().0, "SUCCEEDED");
}

/// SEC-154, attack "rollback": an older document is not taken again, even when the newer one failed and changed nothing.
#[tokio::test]
async fn an_old_document_is_not_taken_again() {
    let key = key();
    let world = world(&key);
    let version = |number: u32, component: &str| {
        let mut document = document();
        document["components"] = json!({component: {"version": "1.0.0"}});
        document["configurationArn"] = json!(ARN.replace("g:1", &format!("g:{number}")));
        document["creationTimestamp"] = json!(1_000 + number);
        signed(&key, &document)
    };
    deploy(&world, "first", version(1, "app"));
    world.run(None).await;
    assert_eq!(world.told().0, "SUCCEEDED", "{}", world.detail("deployment-failure-cause"));
    deploy(&world, "second", version(2, "none"));
    world.run(None).await;
    assert_eq!(world.told().0, "FAILED");
    deploy(&world, "first again", version(1, "app"));
    world.run(None).await;
    assert_eq!(world.told(), ("REJECTED".to_owned(), "REJECTED".to_owned()));
    assert_eq!(world.detail("deployment-error-stack"), "[DEPLOYMENT_REJECTED, REJECTED_STALE_DEPLOYMENT]");
    deploy(&world, "second again", version(2, "none"));
    world.run(None).await;
    assert_eq!(world.told().0, "FAILED", "the newest may come again");
}

/// SEC-154: a forged thing deployment neither stops the one at work nor keeps the true one of its name away.
#[tokio::test]
async fn a_forgery_does_not_stand_in_the_way() {
    let key = key();
    let world = world(&key);
    let arn = "arn:aws:greengrass:us-east-1:000000000000:configuration:thing/core:1";
    let mut thing = document();
    thing["configurationArn"] = json!(arn);
    let desired = |document: &Value| json!({"fleetConfigurationArn": arn, "fleetConfig": document.to_string()});
    world.cloud.lock().unwrap().shadow = json!({"desired": desired(&thing)});
    world.run(None).await;
    assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()));
    {
        let mut cloud = world.cloud.lock().unwrap();
        cloud.told.clear();
        cloud.shadow["desired"] = desired(&signed(&key, &thing));
        cloud.shadow_version += 1;
    }
    world.run(None).await;
    assert_eq!(world.told(), ("SUCCEEDED".to_owned(), "SUCCESSFUL".to_owned()));
    // The forged one comes back: it was refused before and is not told again.
    let told = world.cloud.lock().unwrap().told.len();
    {
        let mut cloud = world.cloud.lock().unwrap();
        cloud.shadow["desired"] = desired(&thing);
        cloud.shadow_version += 1;
    }
    let life = world.start(Arc::new(Crash::default()));
    tokio::select! {
        () = life.deployer.run() => {}
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    assert_eq!(world.cloud.lock().unwrap().told.len(), told);
}

/// SEC-154: a recipe is believed with its signature only, so the digests in it are; an artifact of the cloud needs one.
#[tokio::test]
async fn recipes_and_artifacts_hang_on_the_same_key() {
    let key = key();
    let stack = "[DEPLOYMENT_FAILURE, CLOUD_API_ERROR, RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE]";
    for (case, signer, why) in [
        ("unsigned", None, "it bears no signature"),
        ("another key", Some(self::key()), "it is signed with a key that this core does not trust"),
    ] {
        let world = world(&key);
        world.cloud.lock().unwrap().signer = signer;
        deploy(&world, "a", signed(&key, &document()));
        world.run(None).await;
        assert_eq!(world.told().0, "FAILED", "{case}");
        assert_eq!(world.detail("deployment-error-stack"), stack, "{case}");
        assert!(world.detail("deployment-failure-cause").contains(why), "{case}");
    }
    let world = world(&key);
    {
        let mut cloud = world.cloud.lock().unwrap();
        let recipe = cloud.recipes.get_mut(&("lib".to_owned(), "1.3.0".to_owned())).unwrap();
        recipe["Manifests"][0]["Artifacts"] = json!([{"Uri": "s3://bucket/lib.txt"}]);
        cloud.artifacts.insert("bucket/lib.txt".to_owned(), b"anything".to_vec());
    }
    deploy(&world, "a", signed(&key, &document()));
    world.run(None).await;
    assert!(world.detail("deployment-error-stack").ends_with("RECIPE_MISSING_ARTIFACT_HASH_ALGORITHM]"));
    assert_eq!(world.versions(), BTreeMap::new());
}

/// SEC-154, SEC-157: an artifact hangs on its digest, the digest on the recipe, the recipe on the signature: whoever alters the
/// first one, or all of them but the signature, is found out before anything of it is used.
#[tokio::test]
async fn an_altered_artifact_is_refused_with_its_recipe_or_without() {
    use base64::Engine as _;
    const ARTIFACT: &str = "lib/1.3.0/lib.txt";
    let altered = b"something else".to_vec();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &altered);
    let digest = base64::engine::general_purpose::STANDARD.encode(digest);
    for (case, with_recipe, cause, stack) in [
        ("the artifact", false, "does not have the digest of its recipe", "ARTIFACT_CHECKSUM_MISMATCH]"),
        (
            "recipe and artifact",
            true,
            "it was changed after it was signed",
            "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE]",
        ),
    ] {
        let key = key();
        let world = world(&key);
        {
            let mut cloud = world.cloud.lock().unwrap();
            cloud.artifacts.insert(ARTIFACT.to_owned(), altered.clone());
            if with_recipe {
                let mut recipe = cloud.recipes[&("lib".to_owned(), "1.3.0".to_owned())].clone();
                recipe["Manifests"][0]["Artifacts"][0]["Digest"] = json!(digest);
                cloud.forged.insert("lib".to_owned(), recipe);
            }
        }
        deploy(&world, "a", signed(&key, &document()));
        world.run(None).await;
        assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()), "{case}");
        let told = (world.detail("deployment-failure-cause"), world.detail("deployment-error-stack"));
        assert!(told.0.contains(cause) && told.1.ends_with(stack), "{case}: {told:?}");
        assert_eq!(world.versions(), BTreeMap::new(), "{case}");
    }
}
