//! Artifacts: download, digest, permissions, unpacking (CR 1.6, SEC-157).

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use marram_deploy::{ErrorCode, Failure};
use marram_edge_ports::{ArtifactPlace, DataPlaneError};
use marram_recipe::{Artifact, ArtifactUri, Manifest, Recipe, Unarchive};

use super::recipes::{self, Metadata};
use super::{artifact_folder, digest_file, folder_bytes, unpacked, unpacked_folder, unzip};
use crate::Inner;
use crate::disk::{blocking, part_of, read_failure, rename_durably, write_failure};
use crate::fault::{self, Call};
use crate::integrity::{self, Expected};
use crate::trust::Trust;

/// Most bytes of the store when the nucleus configuration does not say (CR 7.5).
const DEFAULT_STORE_BYTES: u64 = 10_000_000_000;
/// Algorithm of digests that are computed here.
const SHA_256: &str = "SHA-256";

/// What helps with local files.
pub(crate) const GIVE_AGAIN: &str =
    "give its files again: `greengrass-cli deployment create` with --recipeDir and --artifactDir";

/// Brings every artifact of a manifest into the store and checks it.
pub(crate) async fn prepare(inner: &Inner, recipe: &Arc<Recipe>, manifest: &Manifest) -> Result<(), Failure> {
    let version = recipe.version.to_string();
    let metadata = recipes::metadata(&inner.settings.root, &recipe.name, &version).unwrap_or_default();
    for artifact in &manifest.artifacts {
        let uri = artifact.place().map_err(|error| fault::artifact_uri(&recipe.name, &error))?;
        let Some(file) = uri.file_name().map(str::to_owned) else {
            let cause = format!("component {} needs container images, and nothing here provides them", recipe.name);
            return Err(Failure::new(ErrorCode::MissingDockerApplicationManager, cause));
        };
        let work = Work { inner, recipe, version: &version, artifact, uri, file: &file, metadata: &metadata };
        let (path, digest) =
            work.file_in_store().await.map_err(|failure| failure.within(ErrorCode::ComponentPackageLoadingError))?;
        work.set_mode(&path).await?;
        if artifact.unarchive == Unarchive::Zip {
            work.unpack(&path, digest).await?;
        }
    }
    Ok(())
}

/// An archive and the folder of what it holds.
pub(crate) struct Archive {
    pub file: String,
    pub path: PathBuf,
    pub folder: PathBuf,
    /// None when nothing is known of it yet.
    pub digest: Option<String>,
}

/// The files that a manifest lists, and those of them that are unpacked.
pub(crate) fn expected(
    inner: &Inner,
    recipe: &Arc<Recipe>,
    manifest: &Manifest,
) -> Result<(Vec<Expected>, Vec<Archive>), Failure> {
    let version = recipe.version.to_string();
    let metadata = recipes::metadata(&inner.settings.root, &recipe.name, &version).unwrap_or_default();
    let (mut files, mut archives) = (Vec::new(), Vec::new());
    for artifact in &manifest.artifacts {
        let Ok(uri) = artifact.place() else { continue };
        let Some(file) = uri.file_name().map(str::to_owned) else { continue };
        let work = Work { inner, recipe, version: &version, artifact, uri, file: &file, metadata: &metadata };
        let (path, (algorithm, digest)) = (work.path(), work.wanted_digest()?);
        files.push(Expected { path: path.clone(), algorithm: algorithm.to_owned(), digest: digest.clone() });
        if artifact.unarchive == Unarchive::Zip {
            let folder = work.folder()?;
            archives.push(Archive { file, path, folder, digest });
        }
    }
    Ok((files, archives))
}

/// Checks again, right before activation, that nobody changed a file since (SEC-157).
pub(crate) async fn verify(inner: &Inner, recipe: &Recipe) -> Result<(), Failure> {
    integrity::verify(inner, &recipe.name, &recipe.version.to_string()).await.map_err(|error| {
        Failure::of(&[ErrorCode::ArtifactDownloadError, ErrorCode::ArtifactChecksumMismatch], error.to_string())
    })
}

/// Remembers the digest of a file that came without one: from now on it must not change.
pub(crate) async fn remember(
    inner: &Inner,
    component: &str,
    version: &str,
    file: &str,
    digest: &str,
) -> Result<(), Failure> {
    let root = &inner.settings.root;
    let mut metadata = recipes::metadata(root, component, version).unwrap_or_default();
    metadata.artifact_digests.insert(file.to_owned(), digest.to_owned());
    recipes::save_metadata(inner.disk.as_ref(), root, component, version, &metadata).await
}

struct Work<'a> {
    inner: &'a Inner,
    recipe: &'a Arc<Recipe>,
    version: &'a str,
    artifact: &'a Artifact,
    uri: ArtifactUri,
    file: &'a str,
    metadata: &'a Metadata,
}

impl Work<'_> {
    fn path(&self) -> PathBuf {
        artifact_folder(&self.inner.settings.root, &self.recipe.name, self.version).join(self.file)
    }

    /// Algorithm and digest that the file must have; the digest is none for a local file seen for the first time.
    fn wanted_digest(&self) -> Result<(&str, Option<String>), Failure> {
        let Some(digest) = self.artifact.digest.clone() else {
            let vouched = matches!(self.uri, ArtifactUri::Greengrass { .. })
                || Trust::read(self.inner.ports.nucleus.as_ref()).is_demanded();
            if self.metadata.component_version_arn.is_some() && vouched {
                let cause = format!("artifact {} of {} has no digest", self.file, self.recipe.name);
                return Err(Failure::new(ErrorCode::RecipeMissingArtifactHashAlgorithm, cause));
            }
            return Ok((SHA_256, self.metadata.artifact_digests.get(self.file).cloned()));
        };
        match self.artifact.algorithm.as_deref() {
            Some(algorithm) => Ok((algorithm, Some(digest))),
            None => {
                let cause =
                    format!("artifact {} of {} has a digest without its algorithm", self.file, self.recipe.name);
                Err(Failure::new(ErrorCode::RecipeMissingArtifactHashAlgorithm, cause))
            }
        }
    }

    async fn digest(&self, path: &Path, algorithm: &str) -> Result<Option<String>, Failure> {
        let (at, name) = (path.to_owned(), algorithm.to_owned());
        match blocking(move || digest_file(&at, &name)).await {
            Ok(Some(digest)) => Ok(Some(digest)),
            Ok(None) => {
                let cause = format!("the digest algorithm {algorithm} is not available");
                Err(Failure::new(ErrorCode::HashingAlgorithmUnavailable, cause))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(read_failure(path, &error)),
        }
    }

    fn mismatch(&self) -> Failure {
        let cause = format!(
            "artifact {} of {} {} does not have the digest of its recipe",
            self.file, self.recipe.name, self.version
        );
        Failure::of(&[ErrorCode::ArtifactDownloadError, ErrorCode::ArtifactChecksumMismatch], cause)
    }

    /// The file and its digest, downloaded if it is not there with the right one.
    async fn file_in_store(&self) -> Result<(PathBuf, String), Failure> {
        let path = self.path();
        let (algorithm, wanted) = self.wanted_digest()?;
        let found = match std::fs::symlink_metadata(&path) {
            Ok(facts) if !facts.is_file() => {
                let gone = if facts.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
                gone.map_err(|error| write_failure(&path, &error))?;
                None
            }
            _ => self.digest(&path, algorithm).await?,
        };
        match (found, &wanted) {
            (Some(found), Some(wanted)) if found == *wanted => return Ok((path, found)),
            (Some(found), None) => {
                self.remember(&found).await?;
                return Ok((path, found));
            }
            // a local file that was changed after it was taken in is not fetched from anywhere
            (Some(_), Some(_)) if self.artifact.digest.is_none() => {
                let cause = format!(
                    "artifact {} of {} {} has another content than it came with; {GIVE_AGAIN}",
                    self.file, self.recipe.name, self.version
                );
                return Err(Failure::of(
                    &[ErrorCode::ArtifactDownloadError, ErrorCode::ArtifactChecksumMismatch],
                    cause,
                ));
            }
            _ => {}
        }
        if self.metadata.component_version_arn.is_none() && matches!(self.uri, ArtifactUri::Greengrass { .. }) {
            let cause = format!(
                "artifact {} of {} {} is not in the store; {GIVE_AGAIN}",
                self.file, self.recipe.name, self.version
            );
            return Err(Failure::of(&[ErrorCode::IoError, ErrorCode::IoReadError], cause));
        }
        let digest = self.download(&path, algorithm, wanted.as_deref()).await?;
        Ok((path, digest))
    }

    async fn download(&self, path: &Path, algorithm: &str, wanted: Option<&str>) -> Result<String, Failure> {
        let folder = path.parent().unwrap_or(path).to_owned();
        std::fs::create_dir_all(&folder).map_err(|error| write_failure(&folder, &error))?;
        let part = part_of(path);
        let pace = &self.inner.settings.pace;
        let mut mismatches = 0;
        let mut pauses = self.inner.pauses();
        loop {
            let place = self.place().await?;
            let size = self.size(&place).await?;
            let have = std::fs::metadata(&part).map_or(0, |facts| facts.len());
            self.check_space(size.saturating_sub(have), &folder)?;
            self.inner.ports.disk.step("download").await;
            self.inner.waiting(format!("download of {} of {}", self.file, self.recipe.name));
            match self.inner.ports.data_plane.download(&place, &part, size).await {
                Ok(_) => {}
                // a presigned URL that expired while the core was away: ask for a fresh one
                Err(DataPlaneError::Answered { status: 403, .. })
                    if matches!(place, ArtifactPlace::Url(_)) && mismatches < pace.checksum_attempts =>
                {
                    mismatches += 1;
                    tokio::time::sleep(pace.retry.min(pace.checksum_retry)).await;
                    continue;
                }
                Err(error) if error.is_retryable() && self.inner.is_patient() => {
                    self.inner.waiting(format!("download of {} of {}: {error}", self.file, self.recipe.name));
                    pauses.next().await;
                    continue;
                }
                Err(error) => {
                    let call = if matches!(place, ArtifactPlace::S3 { .. }) {
                        Call::S3Download
                    } else {
                        Call::ArtifactDownload
                    };
                    return Err(self.failed(call, &error, Some(&place)));
                }
            }
            let found = self.digest(&part, algorithm).await?;
            if wanted.is_some() && found.as_deref() != wanted {
                let _ = std::fs::remove_file(&part);
                mismatches += 1;
                if mismatches >= pace.checksum_attempts {
                    return Err(self.mismatch());
                }
                self.inner.waiting(format!("a right copy of {} of {}", self.file, self.recipe.name));
                tokio::time::sleep(pace.checksum_retry).await;
                continue;
            }
            self.inner.ports.disk.step("artifact").await;
            let (from, to) = (part.clone(), path.to_owned());
            blocking(move || {
                std::fs::File::open(&from)?.sync_all()?;
                rename_durably(&from, &to)
            })
            .await
            .map_err(|error| write_failure(path, &error))?;
            let found = found.unwrap_or_default();
            if wanted.is_none() {
                self.remember(&found).await?;
            }
            self.inner.waiting_over();
            return Ok(found);
        }
    }

    async fn place(&self) -> Result<ArtifactPlace, Failure> {
        match &self.uri {
            ArtifactUri::S3 { bucket, key } => Ok(ArtifactPlace::S3 { bucket: bucket.clone(), key: key.clone() }),
            ArtifactUri::Greengrass { name } => {
                let arn = self.metadata.component_version_arn.clone().unwrap_or_default();
                let what = format!("address of {} of {}", self.file, self.recipe.name);
                let call = || self.inner.ports.data_plane.artifact_url(&arn, name);
                let url = self
                    .inner
                    .retry(&what, call)
                    .await
                    .map_err(|error| self.failed(Call::ArtifactUrl, &error, None))?;
                Ok(ArtifactPlace::Url(url))
            }
            ArtifactUri::Docker(_) => {
                Err(Failure::new(ErrorCode::MissingDockerApplicationManager, "container images are not supported"))
            }
        }
    }

    async fn size(&self, place: &ArtifactPlace) -> Result<u64, Failure> {
        let what = format!("size of {} of {}", self.file, self.recipe.name);
        let call = if matches!(place, ArtifactPlace::S3 { .. }) { Call::S3Size } else { Call::ArtifactSize };
        let size = self.inner.retry(&what, || self.inner.ports.data_plane.size(place)).await;
        size.map_err(|error| self.failed(call, &error, Some(place)))
    }

    /// A failure that names the artifact, and who was asked for it. Of a presigned URL only the host: the rest is a key to the object.
    fn failed(&self, call: Call, error: &DataPlaneError, place: Option<&ArtifactPlace>) -> Failure {
        let mut failure = fault::data_plane(call, error);
        let whom = match place {
            Some(ArtifactPlace::Url(url)) => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                format!(", from {}", host.rsplit('@').next().unwrap_or_default())
            }
            Some(ArtifactPlace::S3 { bucket, key }) => format!(", from s3://{bucket}/{key}"),
            None => String::new(),
        };
        failure.cause = format!("{} of {}{whom}: {}", self.file, self.recipe.name, failure.cause);
        failure
    }

    fn check_space(&self, bytes: u64, folder: &Path) -> Result<(), Failure> {
        let critical = |cause: String| {
            Failure::of(&[ErrorCode::ArtifactDownloadError, ErrorCode::IoError, ErrorCode::DiskSpaceCritical], cause)
        };
        let free = self.inner.disk.free_bytes(folder);
        if free < bytes.saturating_add(self.inner.settings.pace.min_free_bytes) {
            return Err(critical(format!("{} needs {bytes} bytes, {free} are free", self.file)));
        }
        let limit = self.inner.setting(&["componentStoreMaxSizeBytes"]).and_then(|value| value.as_u64());
        let limit = limit.unwrap_or(DEFAULT_STORE_BYTES);
        let used = folder_bytes(&self.inner.settings.root.join("packages"));
        if used.saturating_add(bytes) > limit {
            return Err(critical(format!("{} needs {bytes} bytes, the store holds {used} of {limit}", self.file)));
        }
        Ok(())
    }

    async fn remember(&self, digest: &str) -> Result<(), Failure> {
        remember(self.inner, &self.recipe.name, self.version, self.file, digest).await
    }

    async fn set_mode(&self, path: &Path) -> Result<(), Failure> {
        let mode = self.artifact.permission.mode();
        let at = path.to_owned();
        blocking(move || std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode))).await.map_err(|error| {
            let cause = format!("cannot set the mode of {}: {error}", path.display());
            Failure::of(&[ErrorCode::IoError, ErrorCode::SetPermissionError], cause)
        })
    }

    /// The folder it is unpacked into.
    fn folder(&self) -> Result<PathBuf, Failure> {
        let folder = unpacked_folder(&self.inner.settings.root, &self.recipe.name, self.version);
        let name = marram_recipe::unpacked_name(self.file).ok_or_else(|| {
            let cause = format!("{} has no name for the folder it is unpacked into", self.file);
            Failure::of(&[ErrorCode::IoError, ErrorCode::IoUnzipError], cause)
        })?;
        Ok(folder.join(name))
    }

    /// Unpacks the archive of this digest, and writes down what came of it.
    async fn unpack(&self, archive: &Path, digest: String) -> Result<(), Failure> {
        let (to, mode) = (self.folder()?, self.artifact.permission.mode());
        let _turn = self.inner.watch.turn(&self.recipe.name).await;
        let root = &self.inner.settings.root;
        let mut records = unpacked::read(root, &self.recipe.name, self.version);
        if let Some(record) = records.get(self.file).filter(|record| record.archive == digest).cloned() {
            let folder = to.clone();
            if blocking(move || unzip::holds(&folder, &record.files, mode)).await {
                return Ok(());
            }
        }
        self.inner.ports.disk.step("unpack").await;
        let archive = archive.to_owned();
        let files = blocking(move || unzip::unpack(&archive, &to, mode)).await.map_err(|error| {
            let full = matches!(&error, unzip::UnzipError::Io(io) if io.kind() == std::io::ErrorKind::StorageFull);
            let code = if full { ErrorCode::DiskSpaceCritical } else { ErrorCode::IoUnzipError };
            Failure::of(&[ErrorCode::IoError, code], format!("cannot unpack {}: {error}", self.file))
        })?;
        records.insert(self.file.to_owned(), unpacked::Record { archive: digest, files });
        unpacked::write(self.inner.disk.as_ref(), root, &self.recipe.name, self.version, &records).await
    }
}
