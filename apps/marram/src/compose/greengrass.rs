//! Greengrass as part of the control plane.

use anyhow::Context;
use marram_greengrass::{DeploymentKey, Greengrass, Parts};
use marram_identity::Identity;
use marram_jobs::Jobs;
use marram_objects::Objects;
use marram_shadows::Shadows;
use marram_store::Store;

use crate::data_dir::DataDir;

/// File of the key that signs deployment documents, in the data directory.
const KEY_FILE: &str = "deployment.key";
/// File of its public half, base64: what cores are given.
const PUBLIC_KEY_FILE: &str = "deployment.pub";

/// Opens the service, and hands out what an earlier run left undelivered.
pub(super) async fn open(
    data: &DataDir,
    store: &Store,
    identity: &Identity,
    jobs: &Jobs,
    shadows: &Shadows,
    objects: &Objects,
) -> anyhow::Result<Greengrass> {
    store.migrate(marram_greengrass::MIGRATIONS).context("cannot prepare the tables of Greengrass")?;
    let key = DeploymentKey::open(&data.root().join(KEY_FILE)).context("cannot open the deployment key")?;
    std::fs::write(data.root().join(PUBLIC_KEY_FILE), key.public_key() + "\n")
        .context("cannot write the public deployment key")?;
    let greengrass = Greengrass::new(Parts {
        identity: identity.clone(),
        jobs: jobs.clone(),
        shadows: shadows.clone(),
        objects: objects.clone(),
        key,
        rewrite_s3_artifacts: true,
    });
    jobs.watch(greengrass.job_watch());
    greengrass.recover().await.context("cannot take up unfinished deployments")?;
    Ok(greengrass)
}

/// The public half of the deployment key, base64: cores check documents with it (SEC-154).
pub(crate) fn public_key(data: &DataDir) -> anyhow::Result<String> {
    let file = data.root().join(PUBLIC_KEY_FILE);
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim().to_owned())
}
