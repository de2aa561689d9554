//! Deployment documents: foreign JSON of any case.

use marram_deploy::DeploymentDocument;

/// One document per input.
pub fn run(data: &[u8]) {
    if let Ok(document) = DeploymentDocument::from_bytes(data) {
        let _ = document.group_key();
        let _ = document.missing_capabilities();
    }
}
