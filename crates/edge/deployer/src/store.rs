//! Files of components: recipes, artifacts, unpacked archives (CR 1.6, 4.12, 9.1).

pub(crate) mod artifacts;
pub(crate) mod import;
pub(crate) mod recipes;
pub(crate) mod retention;
pub(crate) mod unpacked;
pub(crate) mod unzip;

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::OpenError;

/// Makes the folders of CR 9.1 that this crate writes to.
pub(crate) fn make_folders(root: &Path) -> Result<(), OpenError> {
    for (name, mode) in [
        ("deployments", 0o700),
        ("packages", 0o755),
        ("packages/recipes", 0o700),
        ("packages/artifacts", 0o755),
        ("packages/artifacts-unarchived", 0o755),
    ] {
        let path = root.join(name);
        let failed =
            |error: std::io::Error| OpenError::Folder { path: path.display().to_string(), reason: error.to_string() };
        std::fs::DirBuilder::new().recursive(true).mode(mode).create(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

/// Folder of a component version's artifacts.
pub(crate) fn artifact_folder(root: &Path, component: &str, version: &str) -> PathBuf {
    root.join("packages/artifacts").join(component).join(version)
}

/// Folder of a component version's unpacked archives.
pub(crate) fn unpacked_folder(root: &Path, component: &str, version: &str) -> PathBuf {
    root.join("packages/artifacts-unarchived").join(component).join(version)
}

/// SHA-256 as standard base64, the form of recipes.
pub(crate) fn sha256_base64(bytes: &[u8]) -> String {
    STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

/// The algorithm of a Java name; none when it is not available.
pub(crate) fn algorithm_of(name: &str) -> Option<&'static aws_lc_rs::digest::Algorithm> {
    match name.to_ascii_uppercase().as_str() {
        "SHA-256" => Some(&aws_lc_rs::digest::SHA256),
        "SHA-384" => Some(&aws_lc_rs::digest::SHA384),
        "SHA-512" => Some(&aws_lc_rs::digest::SHA512),
        _ => None,
    }
}

/// Digest of a file under a Java algorithm name; none for an algorithm that is not available.
pub(crate) fn digest_file(path: &Path, algorithm: &str) -> std::io::Result<Option<String>> {
    use std::io::Read as _;
    let Some(algorithm) = algorithm_of(algorithm) else { return Ok(None) };
    let mut context = aws_lc_rs::digest::Context::new(algorithm);
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Some(STANDARD.encode(context.finish())));
        }
        context.update(&buffer[..read]);
    }
}

/// Bytes of all files below a folder.
pub(crate) fn folder_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => folder_bytes(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}

/// `base64url(sha256(name))`, the stem of recipe files.
pub(crate) fn name_hash(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes()))
}
