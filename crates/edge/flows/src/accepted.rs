//! The packages that were accepted, as files: what a core starts from when its configuration holds something worse.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A directory with one file for each deployment.
pub(crate) struct AcceptedPackages {
    dir: PathBuf,
}

impl AcceptedPackages {
    /// The directory, made when missing, for its owner only.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    /// Everything that can be read; a damaged file is skipped: the configuration brings it back.
    pub(crate) fn all(&self) -> io::Result<Vec<Value>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                match fs::read(&path).map(|text| serde_json::from_slice(&text)) {
                    Ok(Ok(package)) => found.push(package),
                    Ok(Err(error)) => tracing::warn!(path = %path.display(), %error, "an accepted package is damaged"),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// Keeps `package` as the one of `deployment`; durable when this returns.
    pub(crate) fn put(&self, deployment: &str, package: &Value) -> io::Result<()> {
        let path = self.path(deployment);
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(package.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        self.sync()
    }

    /// Forgets the package of `deployment`.
    pub(crate) fn remove(&self, deployment: &str) -> io::Result<()> {
        match fs::remove_file(self.path(deployment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync(),
        }
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }

    fn path(&self, deployment: &str) -> PathBuf {
        let name = marram_types::CertificateId::of_der(deployment.to_ascii_lowercase().as_bytes()).to_string();
        Path::new(&self.dir).join(name).with_extension("json")
    }
}
