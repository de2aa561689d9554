//! The root certificates of the control plane, where components can read them (CR 2.9).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The copy's name below the root folder, that of the original.
const COPY: &str = "rootCA.pem";
const PUBLIC: u32 = 0o644;

/// The file that `GG_ROOT_CA_PATH` names: `configured` where everybody can read it, else a copy of it below `root`, as new as
/// the file is now. Only certificates are copied; whatever else stands in the file stays where it is.
pub(crate) fn for_components(configured: &Path, root: &Path) -> PathBuf {
    let copy = root.join(COPY);
    if configured == copy || is_public(configured) {
        return configured.to_owned();
    }
    match keep_copy(configured, &copy) {
        Ok(true) => copy,
        Ok(false) => configured.to_owned(),
        Err(error) => {
            tracing::warn!(file = %configured.display(), %error, "components cannot read the root certificates");
            configured.to_owned()
        }
    }
}

/// Whether no folder on the way and not the file itself is closed to others.
fn is_public(file: &Path) -> bool {
    let Ok(real) = fs::canonicalize(file) else { return false };
    let allows = |path: &Path, bit: u32| path.metadata().is_ok_and(|found| found.permissions().mode() & bit == bit);
    allows(&real, 0o004) && real.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}

/// `false`: it is not a file of certificates alone.
fn keep_copy(from: &Path, to: &Path) -> std::io::Result<bool> {
    let text = fs::read_to_string(from)?;
    if !text.contains("-----BEGIN CERTIFICATE-----") || text.contains("PRIVATE KEY-----") {
        return Ok(false);
    }
    if fs::read_to_string(to).is_ok_and(|there| there == text) {
        return Ok(true);
    }
    let new = to.with_extension("new");
    fs::write(&new, text)?;
    fs::set_permissions(&new, Permissions::from_mode(PUBLIC))?;
    fs::rename(&new, to)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOTS: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    /// CR 2.9: a private file is copied and the copy follows it; a file with a key never is; a missing one is named as it is.
    #[test]
    fn components_read_a_copy_of_what_is_closed_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let (file, copy) = (dir.path().join("etc.pem"), dir.path().join(COPY));
        assert_eq!(for_components(&file, dir.path()), file);
        for text in [ROOTS.to_owned(), ROOTS.repeat(2)] {
            fs::write(&file, &text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(for_components(&file, dir.path()), copy);
            assert_eq!(fs::read_to_string(&copy).unwrap(), text);
            assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, PUBLIC);
        }
        assert_eq!(for_components(&copy, dir.path()), copy);
        fs::write(&file, format!("{ROOTS}-----BEGIN PRIVATE KEY-----\n")).unwrap();
        assert_eq!(for_components(&file, dir.path()), file);
    }

    /// What everybody can read needs no copy.
    #[test]
    fn a_public_file_is_named_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(for_components(Path::new("/etc/passwd"), dir.path()), Path::new("/etc/passwd"));
        assert!(!dir.path().join(COPY).exists());
    }
}
