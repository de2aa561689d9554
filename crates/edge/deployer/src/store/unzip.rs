//! Unpacking of archives that may mean harm (SEC-157): no way out of the folder, no links, no devices, no bombs.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

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

/// Unpacks into `to`, unless what is there has the very content. The folder appears as a whole or not at all.
pub(crate) fn unpack(archive: &Path, to: &Path, mode: u32) -> Result<(), UnzipError> {
    let size = std::fs::metadata(archive)?.len();
    let limit = size.saturating_mul(MAX_EXPANSION).max(MIN_ALLOWANCE);
    let folder = to.parent().unwrap_or(to);
    std::fs::create_dir_all(folder)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fresh = folder.join(format!(".{name}.unpacking"));
    remove_folder(&fresh)?;
    let unpacked = extract(archive, &fresh, mode, limit);
    if let Err(error) = unpacked {
        remove_folder(&fresh)?;
        return Err(error);
    }
    if to.exists() && contents(to).ok() == contents(&fresh).ok() {
        remove_folder(&fresh)?;
        return Ok(());
    }
    let old = folder.join(format!(".{name}.old"));
    remove_folder(&old)?;
    if to.exists() {
        std::fs::rename(to, &old)?;
    }
    rename_durably(&fresh, to)?;
    remove_folder(&old)?;
    Ok(())
}

fn extract(archive: &Path, to: &Path, mode: u32, limit: u64) -> Result<(), UnzipError> {
    make_folder(to)?;
    let mut archive = zip::ZipArchive::new(std::fs::File::open(archive)?)?;
    if archive.len() > MAX_MEMBERS {
        return Err(UnzipError::TooMany);
    }
    let mut left = limit;
    for index in 0..archive.len() {
        let member = archive.by_index(index)?;
        let name = member.name()?.into_owned();
        let shown: String = name.chars().take(100).flat_map(char::escape_debug).collect();
        let Some(inside) = inside(&name) else { return Err(UnzipError::Escapes(shown)) };
        if !matches!(member.unix_mode().unwrap_or(0) & KIND, 0 | PLAIN | FOLDER) {
            return Err(UnzipError::NotPlain(shown));
        }
        let path = to.join(inside);
        if member.is_dir() {
            make_folder(&path)?;
            continue;
        }
        let (declared, mut at) = (member.size(), path.parent());
        if declared > left {
            return Err(UnzipError::TooLarge(limit));
        }
        if let Some(folder) = at.take() {
            make_folder(folder)?;
        }
        let mut file = std::fs::File::create(&path)?;
        // one byte more than declared tells a liar
        let written = std::io::copy(&mut member.take(declared.saturating_add(1)), &mut file)?;
        if written > declared {
            return Err(UnzipError::TooLarge(declared));
        }
        left -= written;
        file.flush()?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
    }
    Ok(())
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
    if unpacked.is_ok() {
        let limit = (data.len() as u64).saturating_mul(MAX_EXPANSION).max(MIN_ALLOWANCE);
        let files = contents(&to).unwrap_or_default();
        let size: u64 =
            files.keys().filter_map(|path| std::fs::metadata(to.join(path)).ok()).map(|file| file.len()).sum();
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

/// Digests of all files by relative path: an edited file of equal size is found out.
fn contents(folder: &Path) -> std::io::Result<BTreeMap<PathBuf, (u32, Vec<u8>)>> {
    fn below(folder: &Path, root: &Path, all: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (path, facts) = (entry.path(), entry.metadata()?);
            if facts.is_dir() {
                below(&path, root, all)?;
                continue;
            }
            let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
            let mut file = std::fs::File::open(&path)?;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                context.update(&buffer[..read]);
            }
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            all.insert(name, (facts.permissions().mode(), context.finish().as_ref().to_vec()));
        }
        Ok(())
    }
    let mut all = BTreeMap::new();
    below(folder, folder, &mut all)?;
    Ok(all)
}
