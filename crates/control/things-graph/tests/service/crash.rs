//! What a restart finds and finishes (TG 8, 7.6, 6.8).

use marram_store::{StoreError, params};
use serde_json::json;

use crate::bench::{ACCOUNT, Bench, DEPLOYMENT, ENTITIES, document, ns, urn};
use crate::deployments::{bed, create, prepared};

/// TG 8: uploads a crash interrupted are carried out at the next start, in order, each exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_uploads_are_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    // What a crash between acceptance and the task leaves behind.
    let level =
        |max: i32| ns(&format!("type L @propertyType(id: \"NS:Property:L\", dataType: int8, maxValue: {max}) {{ }}"));
    let texts = [level(1), level(2), "type".to_owned()];
    bench
        .store
        .write(move |tx| {
            for (seq, text) in texts.iter().enumerate() {
                tx.execute(
                    "INSERT INTO tg_upload
                     (account, region, id, seq, status, document, sync_public, deprecate_existing, created_at)
                     VALUES ($1, 'eu-local-1', $2, $3, 'IN_PROGRESS', $4, 0, 0, 1800000000000000)",
                    params![ACCOUNT, format!("upload-{seq}"), i64::try_from(seq).unwrap_or(0), text],
                )?;
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    bench.close().await;

    let bench = Bench::open(dir.path()).await;
    assert_eq!(bench.service.recover().await.unwrap().uploads, 3);
    let mut ends = Vec::new();
    for number in 0..3 {
        let done = bench.until(|| async {
            let status = bench.ok("GetUploadStatus", json!({ "uploadId": format!("upload-{number}") })).await;
            (status["uploadStatus"] != "IN_PROGRESS").then_some(status)
        });
        let done = done.await;
        ends.push((done["uploadStatus"].as_str().unwrap().to_owned(), done["namespaceVersion"].as_i64()));
    }
    let wanted = [("SUCCEEDED", Some(1)), ("SUCCEEDED", Some(2)), ("FAILED", None)];
    assert_eq!(ends, wanted.map(|(status, version)| (status.to_owned(), version)));
    assert_eq!(bench.service.recover().await.unwrap().uploads, 0);
}

/// TG 7.6: a deployment is armed after a restart, with or without the runtime's journal; a tampered snapshot is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_are_armed_again() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    bench.ok("CreateSystemInstance", create(&ns(DEPLOYMENT))).await;
    bench.ok("DeploySystemInstance", bed()).await;
    bench.close().await;

    let bench = Bench::open(dir.path()).await;
    assert_eq!(bench.service.recover().await.unwrap().armed, 0, "the journal brought it back");
    // The runtime arms it in its own time, soon after it was opened.
    bench.until(async || (bench.wire.send("probe-1/reading", r#"{"m": 4}"#) == 1).then_some(())).await;
    bench.close().await;

    std::fs::remove_dir_all(dir.path().join("flows")).unwrap();
    let bench = Bench::open(dir.path()).await;
    assert_eq!(bench.wire.send("probe-1/reading", r#"{"m": 4}"#), 0);
    assert_eq!(bench.service.recover().await.unwrap().armed, 1);
    assert_eq!(bench.wire.send("probe-1/reading", r#"{"m": 4}"#), 1);
    bench.until(|| async { bench.wire.published.lock().unwrap().first().cloned() }).await;
    bench
        .store
        .write(|tx| {
            let sql = "UPDATE tg_instance SET snapshot = replace(snapshot, 'valve-1/', 'valve-2/'), status = 'DEPLOY_IN_PROGRESS'";
            tx.execute(sql, params![])?;
            tx.execute("UPDATE tg_instance SET snapshot = snapshot || ' '", params![])
        })
        .await
        .map_err(|error: StoreError| error)
        .unwrap();
    bench.close().await;

    std::fs::remove_dir_all(dir.path().join("flows")).unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.service.recover().await.unwrap();
    let found = bench.ok("GetSystemInstance", bed()).await;
    assert_eq!(found["description"]["summary"]["status"], "FAILED");
    assert_eq!(bench.wire.send("probe-1/reading", r#"{"m": 4}"#), 0);
    bench.ok("DeploySystemInstance", bed()).await;
    assert_eq!(bench.wire.send("probe-1/reading", r#"{"m": 4}"#), 1);
}

/// TG 7.5: an undeployment or a deletion of the namespace that a crash interrupted is finished at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_removals_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    bench.ok("CreateSystemInstance", create(&ns(DEPLOYMENT))).await;
    bench.ok("DeploySystemInstance", bed()).await;
    bench
        .store
        .write(|tx| {
            tx.execute("UPDATE tg_instance SET status = 'UNDEPLOY_IN_PROGRESS'", params![])?;
            tx.execute(
                "INSERT INTO tg_deletion (account, region, status, requested_at) VALUES ($1, 'eu-local-1', 'IN_PROGRESS', 0)",
                params![ACCOUNT],
            )
        })
        .await
        .map_err(|error: StoreError| error)
        .unwrap();
    bench.refused("DeploySystemInstance", bed(), "ResourceInUse").await;
    bench.refused("UndeploySystemInstance", bed(), "ResourceInUse").await;
    bench.refused("DeleteSystemInstance", bed(), "ResourceInUse").await;
    bench.close().await;

    let bench = Bench::open(dir.path()).await;
    let recovered = bench.service.recover().await.unwrap();
    assert_eq!((recovered.undeployed, recovered.deletions), (1, 1));
    let found = bench.ok("GetSystemInstance", bed()).await;
    assert_eq!(found["description"]["summary"]["status"], "DELETED_IN_TARGET");
    assert_eq!(bench.wire.send("probe-1/reading", r#"{"m": 4}"#), 0);
    let status = bench.until(|| async {
        let status = bench.ok("GetNamespaceDeletionStatus", json!({})).await;
        (status["status"] != "IN_PROGRESS").then_some(status)
    });
    let status = status.await;
    assert!(status["errorMessage"].as_str().unwrap().contains(&urn("Deployment", "Bed")), "{status}");
}

/// TG 8: the store that dies in the middle of an upload keeps either all of it or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_dies_mid_upload_keeps_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let accepted = bench.ok("UploadEntityDefinitions", json!({ "document": document(&ns(ENTITIES)) })).await;
    bench.close().await;

    let bench = Bench::open(dir.path()).await;
    bench.service.recover().await.unwrap();
    let done = bench.until(|| async {
        let status = bench.ok("GetUploadStatus", accepted.clone()).await;
        (status["uploadStatus"] != "IN_PROGRESS").then_some(status)
    });
    assert_eq!(done.await["uploadStatus"], "SUCCEEDED");
    bench.ok("GetEntities", json!({ "ids": [urn("Device", "AcmeProbe"), urn("Action", "Dose")] })).await;
    assert_eq!(bench.ok("DescribeNamespace", json!({})).await["namespaceVersion"], 1);
}
