//! What a start does with what a stop or a crash left half done.

use std::time::Duration;

use marram_identity::CallError;
use marram_store::params;
use marram_tdm::model::Urn;
use marram_types::{AccountId, Partition, Region};

use crate::edge;
use crate::instance::{deploy, undeploy};
use crate::namespace;
use crate::realm::Realm;
use crate::service::ThingsGraph;

/// How long the status of an upload is kept (TG 8).
const UPLOAD_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a start found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Uploads taken up again.
    pub uploads: usize,
    /// Deletions of namespaces taken up again.
    pub deletions: usize,
    /// Deployments armed from their snapshots.
    pub armed: usize,
    /// Undeployments finished.
    pub undeployed: usize,
}

impl ThingsGraph {
    /// Takes up interrupted uploads and deletions, arms every deployment the runtime does not hold already, finishes
    /// interrupted undeployments. Call once, after the runtime is open and before calls are served.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn recover(&self) -> Result<Recovered, CallError> {
        let partition = self.inner.identity.partition().clone();
        let mut recovered = Recovered::default();
        let rows = self.inner.store.read(|s| {
            s.query_all(
                "SELECT account, region, id, status FROM tg_instance
                 WHERE (target = 'CLOUD' AND status IN ('DEPLOYED_IN_TARGET', 'DEPLOY_IN_PROGRESS', 'UNDEPLOY_IN_PROGRESS'))
                    OR status = 'BOOTSTRAP'",
                params![],
                |row| {
                    let (account, region) = (row.parse::<AccountId>(0)?, row.parse::<Region>(1)?);
                    Ok::<_, CallError>((account, region, row.parse::<Urn>(2)?, row.get::<String>(3)?))
                },
            )
        })?;
        for (account, region, urn, status) in rows {
            let realm = Realm { partition: partition.clone(), account, region };
            match status.as_str() {
                // Nothing was sent to the cores in its name, and nobody is there in whose name it could be.
                "BOOTSTRAP" => edge::interrupted(self, &realm, &urn).await?,
                "UNDEPLOY_IN_PROGRESS" => {
                    undeploy::finish(self, &realm, &urn).await?;
                    recovered.undeployed += 1;
                }
                // The runtime's journal brought it back, executions and all.
                "DEPLOYED_IN_TARGET" if self.is_deployed(&urn) => {}
                _ => {
                    deploy::rearm(self, &realm, &urn).await?;
                    recovered.armed += 1;
                }
            }
        }
        recovered.uploads = namespace::run_pending_uploads(self, &partition)?;
        recovered.deletions = namespace::run_pending_deletions(self, &partition)?;
        self.forget_uploads(&partition).await?;
        Ok(recovered)
    }

    /// Whether the runtime holds the deployment.
    pub(crate) fn is_deployed(&self, urn: &Urn) -> bool {
        self.inner.runtime.deployments().iter().any(|id| id == urn.key())
    }

    async fn forget_uploads(&self, partition: &Partition) -> Result<(), CallError> {
        let oldest = self.now().saturating_sub(UPLOAD_RETENTION);
        let realms = self.inner.store.read(|s| {
            s.query_all(
                "SELECT DISTINCT account, region FROM tg_upload WHERE created_at < $1 AND status <> 'IN_PROGRESS'",
                params![oldest],
                |row| Ok::<_, CallError>((row.parse::<AccountId>(0)?, row.parse::<Region>(1)?)),
            )
        })?;
        for (account, region) in realms {
            let realm = Realm { partition: partition.clone(), account, region };
            let row_realm = realm.clone();
            self.system(&realm)
                .commit("UploadStatusExpired", move |tx| {
                    tx.execute(
                        "DELETE FROM tg_upload WHERE account = $1 AND region = $2 AND created_at < $3
                         AND status <> 'IN_PROGRESS'",
                        params![row_realm.account, row_realm.region, oldest],
                    )?;
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }
}
