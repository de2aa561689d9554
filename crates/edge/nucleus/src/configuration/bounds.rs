//! What a component once wrote of its own bounds: an older core took that in, and it must not stay in force (SEC-131).

use marram_configuration::{Origin, Write};
use smol_str::SmolStr;

use super::{ConfigurationError, ConfigurationStore};
use crate::shared::wall_ms;

/// Below `services/<component>/configuration` the core's own word: sandbox, restarts, credentials.
const BOUNDS: &str = "marram";

impl ConfigurationStore {
    /// Takes away what components wrote of their own bounds through IPC, and says so in the log.
    ///
    /// # Errors
    /// The disk refused; then the tree is as before.
    pub async fn drop_own_bounds(&self) -> Result<(), ConfigurationError> {
        let written: Vec<Vec<SmolStr>> = {
            let leaves = self.tree().explain(&["services"]);
            let is_bound = |path: &[SmolStr]| {
                path.len() > 3 && path[2].eq_ignore_ascii_case("configuration") && path[3].eq_ignore_ascii_case(BOUNDS)
            };
            let own = leaves.into_iter().filter(|leaf| matches!(leaf.origin, Origin::Ipc(_)) && is_bound(&leaf.path));
            own.map(|leaf| leaf.path).collect()
        };
        if written.is_empty() {
            return Ok(());
        }
        let write = Write { time: wall_ms(), origin: Origin::Runtime, force: true };
        self.write::<_, ConfigurationError>(|tree| {
            Ok(((), written.iter().flat_map(|path| tree.remove(path, &write)).collect()))
        })
        .await?;
        for path in written {
            tracing::warn!(
                component = %path[1], key = path[3..].join("."),
                "what this component wrote of its own bounds does not count any more; deploy it again if a deployment had set it"
            );
        }
        Ok(())
    }
}
