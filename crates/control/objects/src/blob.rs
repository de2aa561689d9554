//! The content store: files named by the SHA-256 of what they hold, below a folder for each account.
//!
//! ```text
//! body -> incoming/{random} (hashed as it comes) -> fsync -> rename to content/{account}/{ab}/{sha256} -> fsync of the folder
//!      -> row with a use count, in the transaction that acknowledges the write
//! ```
//!
//! A file without a row is nobody's: the sweep at start removes it. A file whose last use ends is removed after the
//! commit, unless a write that is under way has pinned the same content.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use marram_identity::CallError;
use marram_store::{Store, StoreError, Tx, params};
use marram_types::{AccountId, random_hex};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::checksum::{Algorithm, Hasher};

/// A piece of an object: one blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Lower-case hex.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// The folder of contents. A cheap clone.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Contents that a write under way is about to use.
    pins: Mutex<HashMap<(String, String), usize>>,
}

/// Keeps a content from being removed until its row is there.
#[derive(Debug)]
pub(crate) struct Pin {
    blobs: Blobs,
    key: (String, String),
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.blobs.inner.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pins.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.key);
            }
        }
    }
}

impl Blobs {
    /// Opens the folder and removes what writes of an earlier run left unfinished.
    pub(crate) fn open(root: &Path) -> io::Result<Blobs> {
        let incoming = root.join("incoming");
        fs::create_dir_all(&incoming)?;
        fs::create_dir_all(root.join("content"))?;
        for entry in fs::read_dir(&incoming)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Blobs { inner: Arc::new(Inner { root: root.to_owned(), pins: Mutex::default() }) })
    }

    /// Begins a write. `checksums`: those to compute beside SHA-256 and MD5.
    pub(crate) fn incoming(&self, checksums: &[Algorithm]) -> io::Result<Incoming> {
        let path = self.inner.root.join("incoming").join(random_hex(16));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Incoming {
            staged: Staged { path, kept: false },
            file,
            size: 0,
            sha256: digest::Context::new(&digest::SHA256),
            md5: Md5::new(),
            checksums: checksums.iter().map(|algorithm| (*algorithm, Hasher::new(*algorithm))).collect(),
        })
    }

    /// Opens a content to read.
    pub(crate) fn read(&self, account: &str, sha256: &str) -> io::Result<File> {
        File::open(self.path(account, sha256))
    }

    fn path(&self, account: &str, sha256: &str) -> PathBuf {
        let shelf = sha256.get(..2).unwrap_or("__");
        self.inner.root.join("content").join(account).join(shelf).join(sha256)
    }

    pub(crate) fn pin(&self, account: &str, sha256: &str) -> Pin {
        let key = (account.to_owned(), sha256.to_owned());
        let mut pins = self.inner.pins.lock().unwrap_or_else(PoisonError::into_inner);
        *pins.entry(key.clone()).or_insert(0) += 1;
        drop(pins);
        Pin { blobs: self.clone(), key }
    }

    /// Removes a content whose row has gone, unless it is pinned.
    fn forget(&self, account: &str, sha256: &str) {
        let pins = self.inner.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if pins.contains_key(&(account.to_owned(), sha256.to_owned())) {
            return;
        }
        if let Err(error) = fs::remove_file(self.path(account, sha256))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a content that nobody uses stays until the next start");
        }
    }

    /// Removes contents without a row. Blocks; runs beside writes.
    pub(crate) fn sweep(&self, store: &Store) -> io::Result<usize> {
        let mut removed = 0;
        for account in fs::read_dir(self.inner.root.join("content"))? {
            let account = account?;
            let name = account.file_name().to_string_lossy().into_owned();
            for shelf in fs::read_dir(account.path())? {
                for file in fs::read_dir(shelf?.path())? {
                    let sha256 = file?.file_name().to_string_lossy().into_owned();
                    removed += usize::from(self.sweep_one(store, &name, &sha256));
                }
            }
        }
        Ok(removed)
    }

    fn sweep_one(&self, store: &Store, account: &str, sha256: &str) -> bool {
        // Held over the question and the removal: no write can pin this content in between.
        let pins = self.inner.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if pins.contains_key(&(account.to_owned(), sha256.to_owned())) {
            return false;
        }
        let known = store.read(|snapshot| {
            snapshot.query_opt(
                "SELECT 1 FROM s3_blob WHERE account = $1 AND sha256 = $2",
                params![account, sha256],
                |row| row.get::<i64>(0),
            )
        });
        matches!(known, Ok::<_, StoreError>(None)) && fs::remove_file(self.path(account, sha256)).is_ok()
    }
}

/// Counts one more use of each segment.
pub(crate) fn add_uses(tx: &mut Tx<'_>, account: &AccountId, segments: &[Segment]) -> Result<(), CallError> {
    for segment in segments {
        tx.execute(
            "INSERT INTO s3_blob (account, sha256, size, uses) VALUES ($1, $2, $3, 1)
             ON CONFLICT (account, sha256) DO UPDATE SET uses = uses + 1",
            params![account, segment.sha256, i64::try_from(segment.size).unwrap_or(i64::MAX)],
        )?;
    }
    Ok(())
}

/// Counts one use less of each segment; contents without a use are removed once that is durable.
pub(crate) fn drop_uses(
    tx: &mut Tx<'_>,
    blobs: &Blobs,
    account: &AccountId,
    segments: &[Segment],
) -> Result<(), CallError> {
    for segment in segments {
        tx.execute(
            "UPDATE s3_blob SET uses = uses - 1 WHERE account = $1 AND sha256 = $2",
            params![account, segment.sha256],
        )?;
        let gone = tx.execute(
            "DELETE FROM s3_blob WHERE account = $1 AND sha256 = $2 AND uses <= 0",
            params![account, segment.sha256],
        )?;
        if gone > 0 {
            let (blobs, account, sha256) = (blobs.clone(), account.clone(), segment.sha256.clone());
            tx.after_commit(move || blobs.forget(account.as_str(), &sha256));
        }
    }
    Ok(())
}

/// A file that goes away unless it is kept.
#[derive(Debug)]
struct Staged {
    path: PathBuf,
    kept: bool,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A content being written.
pub(crate) struct Incoming {
    staged: Staged,
    file: File,
    size: u64,
    sha256: digest::Context,
    md5: Md5,
    checksums: Vec<(Algorithm, Hasher)>,
}

/// A content whose bytes are all there.
#[derive(Debug)]
pub(crate) struct Received {
    staged: Staged,
    file: File,
    /// In bytes.
    pub(crate) size: u64,
    /// Lower-case hex.
    pub(crate) sha256: String,
    /// Sixteen bytes.
    pub(crate) md5: [u8; 16],
    /// Base64, in the order asked for.
    pub(crate) checksums: Vec<(Algorithm, String)>,
}

impl Incoming {
    /// Bytes written so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Appends. Blocks.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        self.md5.update(bytes);
        for (_, hasher) in &mut self.checksums {
            hasher.update(bytes);
        }
        Ok(())
    }

    /// Ends the write.
    pub(crate) fn finish(self) -> Received {
        Received {
            staged: self.staged,
            file: self.file,
            size: self.size,
            sha256: hex::encode(self.sha256.finish()),
            md5: self.md5.finalize().into(),
            checksums: self.checksums.into_iter().map(|(algorithm, hasher)| (algorithm, hasher.finish())).collect(),
        }
    }
}

impl Received {
    /// The segments of the content: one, or none when it is empty.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        match self.size {
            0 => Vec::new(),
            size => vec![Segment { sha256: self.sha256.clone(), size }],
        }
    }

    /// Makes the content durable under its name. Blocks. The pin must live until its row is committed.
    pub(crate) fn keep(mut self, blobs: &Blobs, account: &str) -> io::Result<Pin> {
        let pin = blobs.pin(account, &self.sha256);
        if self.size == 0 {
            return Ok(pin);
        }
        self.file.sync_all()?;
        let path = blobs.path(account, &self.sha256);
        let shelf = path.parent().unwrap_or(&path).to_owned();
        let new_shelf = !shelf.exists();
        fs::create_dir_all(&shelf)?;
        fs::rename(&self.staged.path, &path)?;
        self.staged.kept = true;
        File::open(&shelf)?.sync_all()?;
        if new_shelf {
            // The folder's own name must survive as well, up to the folder of contents.
            for folder in shelf.ancestors().skip(1).take(2) {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(pin)
    }
}
