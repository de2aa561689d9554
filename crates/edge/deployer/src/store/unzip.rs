//! Unpacking of archives that may mean harm (SEC-157): no way out of the folder, no links, no devices, no bombs.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{CWD, RenameFlags};

use crate::disk::rename_durably;

/// How many times larger than the archive its content may be (SEC-157).
const MAX_EXPANSION: u64 = 100;
/// Content that is allowed however small the archive is, in bytes: tiny text archives compress well.
const MIN_ALLOWANCE: u64 = 1024 * 1024;
/// Most members of an archive (our limit).
const MAX_MEMBERS: usize = 100_000;
/// Kind bits of a Unix mode, and the kinds that may be unpacked.
const KIND: u32 = 0o170_000;
const PLAIN: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// Why an archive was refused. What was unpacked so far is gone again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnzipError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the archive is damaged: {0}")]
    Damaged(#[from] zip::result::ZipError),
    #[error("its member `{0}` leads out of the folder")]
    Escapes(String),
    #[error("its member `{0}` is a link or a device")]
    NotPlain(String),
    #[error("it has more than {MAX_MEMBERS} members")]
    TooMany,
    #[error("it unpacks to more than {0} bytes")]
    TooLarge(u64),
}

/// SHA-256 of the files of an archive, as base64 by relative path.
pub(crate) type Listing = BTreeMap<String, String>;

/// Unpacks into `to`, unless every file is there already with its content and mode; what lies beside them may stay. The folder appears as
/// a whole or not at all.
pub(crate) fn unpack(archive: &Path, to: &Path, mode: u32) -> Result<Listing, UnzipError> {
    let folder = to.parent().unwrap_or(to);
    std::fs::create_dir_all(folder)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fresh = folder.join(format!(".{name}.unpacking"));
    remove_folder(&fresh)?;
    let listing = match extract(archive, Some((&fresh, mode))) {
        Ok(listing) => listing,
        Err(error) => {
            remove_folder(&fresh)?;
            return Err(error);
        }
    };
    if holds(to, &listing, mode) {
        remove_folder(&fresh)?;
        return Ok(listing);
    }
    let old = folder.join(format!(".{name}.old"));
    remove_folder(&old)?;
    if to.exists() {
        // without a moment in which there is nothing, where the file system can do that
        match rustix::fs::renameat_with(CWD, &fresh, CWD, to, RenameFlags::EXCHANGE) {
            Ok(()) => {
                std::fs::File::open(folder)?.sync_all()?;
                remove_folder(&fresh)?;
                return Ok(listing);
            }
            Err(_) => std::fs::rename(to, &old)?,
        }
    }
    rename_durably(&fresh, to)?;
    remove_folder(&old)?;
    Ok(listing)
}

/// What [`unpack`] would make of an archive, without a file being written.
pub(crate) fn list(archive: &Path) -> Result<Listing, UnzipError> {
    extract(archive, None)
}

/// Whether a folder holds every file of a listing, with this mode.
pub(crate) fn holds(folder: &Path, listing: &Listing, mode: u32) -> bool {
    listing.iter().all(|(name, digest)| {
        let path = folder.join(name);
        let is_plain = std::fs::symlink_metadata(&path)
            .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o7777 == mode);
        is_plain && super::digest_file(&path, "SHA-256").is_ok_and(|found| found.as_ref() == Some(digest))
    })
}

fn extract(archive: &Path, to: Option<(&Path, u32)>) -> Result<Listing, UnzipError> {
    let limit = std::fs::metadata(archive)?.len().saturating_mul(MAX_EXPANSION).max(MIN_ALLOWANCE);
    let mut left = limit;
    let mut listing = Listing::new();
    if let Some((to, _)) = to {
        make_folder(to)?;
    }
    let mut archive = zip::ZipArchive::new(std::fs::File::open(archive)?)?;
    if archive.len() > MAX_MEMBERS {
        return Err(UnzipError::TooMany);
    }
    for index in 0..archive.len() {
        let member = archive.by_index(index)?;
        let name = member.name()?.into_owned();
        let shown: String = name.chars().take(100).flat_map(char::escape_debug).collect();
        let Some(inside) = inside(&name) else { return Err(UnzipError::Escapes(shown)) };
        if !matches!(member.unix_mode().unwrap_or(0) & KIND, 0 | PLAIN | FOLDER) {
            return Err(UnzipError::NotPlain(shown));
        }
        if member.is_dir() {
            if let Some((to, _)) = to {
                make_folder(&to.join(inside))?;
            }
            continue;
        }
        let declared = member.size();
        if declared > left {
            return Err(UnzipError::TooLarge(limit));
        }
        let mut file = None;
        if let Some((to, _)) = to {
            let path = to.join(&inside);
            if let Some(folder) = path.parent() {
                make_folder(folder)?;
            }
            file = Some(std::fs::File::create(&path)?);
        }
        let mut digested = Digested { file: file.as_ref(), context: Context::new(&SHA256) };
        // one byte more than declared tells a liar
        let written = std::io::copy(&mut member.take(declared.saturating_add(1)), &mut digested)?;
        if written > declared {
            return Err(UnzipError::TooLarge(declared));
        }
        left -= written;
        listing.insert(inside.to_string_lossy().into_owned(), STANDARD.encode(digested.context.finish()));
        if let (Some(file), Some((_, mode))) = (file, to) {
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
        }
    }
    Ok(listing)
}

/// Writes to a file if there is one, and knows the digest of what went by.
struct Digested<'a> {
    file: Option<&'a std::fs::File>,
    context: Context,
}

impl std::io::Write for Digested<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = match &mut self.file {
            Some(file) => std::io::Write::write(file, bytes)?,
            None => bytes.len(),
        };
        self.context.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Entry of the fuzz target: an archive of any content, unpacked below `folder`; nothing may appear beside it, and no more
/// than was allowed.
pub fn fuzz_archive(data: &[u8], folder: &Path) {
    let archive = folder.join("archive.zip");
    let to = folder.join("content");
    if std::fs::write(&archive, data).is_err() {
        return;
    }
    let unpacked = unpack(&archive, &to, 0o644);
    let mut found: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    found.retain(|name| name != "archive.zip" && !(unpacked.is_ok() && name == "content"));
    assert!(found.is_empty(), "left behind: {found:?}");
    if let Ok(listing) = unpacked {
        let limit = (data.len() as u64).saturating_mul(MAX_EXPANSION).max(MIN_ALLOWANCE);
        assert!(holds(&to, &listing, 0o644), "what was unpacked is not what is listed");
        assert_eq!(list(&archive).ok().as_ref(), Some(&listing), "an archive has two listings");
        let size: u64 =
            listing.keys().filter_map(|path| std::fs::metadata(to.join(path)).ok()).map(|file| file.len()).sum();
        assert!(size <= limit, "{size} bytes of an archive of {}", data.len());
        let _ = remove_folder(&to);
    }
}

/// A relative path of plain names only; none for anything that could lead elsewhere, on any system.
fn inside(name: &str) -> Option<PathBuf> {
    let name = name.strip_suffix('/').unwrap_or(name);
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0', ':']);
    name.split('/').all(plain).then(|| PathBuf::from(name))
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

fn remove_folder(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
