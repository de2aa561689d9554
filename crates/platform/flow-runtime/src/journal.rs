//! The journal of one deployment: append-only segments of checksummed records (TG 6.8).
//!
//! A frame is `length u32, crc32 u32, record`. A segment opens with a head that says everything earlier segments said
//! about what still lives: the deployment, last occurrences, a checkpoint per live execution, then `Complete`. Recovery
//! starts at the newest segment whose head is complete; an incomplete frame at the end is cut off. Older segments stay
//! only until the history index has read them.

mod codec;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use codec::{CodecError, Create, MANUAL, Record, encode_create, encode_input};

/// First bytes of every segment.
const MAGIC: &[u8; 8] = b"MRMFLOW1";
/// Longest record; a longer length in a frame is damage.
const MAX_RECORD_BYTES: u32 = 256 * 1024 * 1024;
const FRAME_HEAD: usize = 8;

/// Why the journal could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system refused.
    #[error("{path}: {cause}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A record with a good checksum does not make sense.
    #[error("{path}: {cause}")]
    Record {
        /// The segment.
        path: PathBuf,
        /// Why.
        #[source]
        cause: CodecError,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> JournalError + '_ {
    move |cause| JournalError::Io { path: path.to_owned(), cause }
}

/// Appends records to the newest segment of a directory.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    segment: u64,
    file: Arc<File>,
    /// Bytes in the file.
    length: u64,
    /// Frames not written yet.
    buffer: Vec<u8>,
}

/// Where a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Segment number.
    pub segment: u64,
    /// Byte offset of the next frame.
    pub offset: u64,
}

impl Journal {
    /// Starts a journal in an empty directory. Nothing is durable before [`Journal::write`] and a sync of [`Journal::file`].
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create(dir: &Path) -> Result<Self, JournalError> {
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        let last = segments(dir)?.last().copied().unwrap_or(0);
        let (file, _) = new_segment(dir, last + 1)?;
        Ok(Self { dir: dir.to_owned(), segment: last + 1, file, length: MAGIC.len() as u64, buffer: Vec::new() })
    }

    /// Opens the journal of `dir` and replays it: `each` gets every record since the newest complete head.
    /// `None`: there is no complete head, so nothing was ever deployed here.
    ///
    /// # Errors
    /// [`JournalError`]. A damaged tail is no error: it is cut off.
    pub fn open(dir: &Path, mut each: impl FnMut(Record)) -> Result<Option<Self>, JournalError> {
        let numbers = segments(dir)?;
        let mut start = None;
        for number in numbers.iter().rev() {
            let mut complete = false;
            read_frames(&segment_path(dir, *number), 0, |record, _| {
                complete |= matches!(record, Record::Complete { .. });
                Ok(!complete)
            })?;
            if complete {
                start = Some(*number);
                break;
            }
        }
        let Some(start) = start else { return Ok(None) };
        // Segments after a complete head were begun but their head was not finished: nothing in them counts.
        for number in numbers.iter().filter(|number| **number > start) {
            let path = segment_path(dir, *number);
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
        let path = segment_path(dir, start);
        let length = read_frames(&path, 0, |record, _| {
            each(record);
            Ok(true)
        })?;
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_error(&path))?;
        file.set_len(length).map_err(io_error(&path))?;
        let mut file = file;
        file.seek(SeekFrom::End(0)).map_err(io_error(&path))?;
        Ok(Some(Self { dir: dir.to_owned(), segment: start, file: Arc::new(file), length, buffer: Vec::new() }))
    }

    /// Adds a frame whose record `encode` appends.
    pub fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; FRAME_HEAD]);
        encode(&mut self.buffer);
        let record = &self.buffer[start + FRAME_HEAD..];
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let crc = crc32fast::hash(record);
        self.buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Whether frames wait to be written.
    pub fn is_dirty(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Hands all frames to the operating system: they survive the process, not a power cut.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the frames are kept, the file may hold a part of them.
    pub fn write(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let path = || segment_path(&self.dir, self.segment);
        (&*self.file).write_all(&self.buffer).map_err(|cause| JournalError::Io { path: path(), cause })?;
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(1024 * 1024);
        Ok(())
    }

    /// Tries [`Journal::write`] again after it failed: what the failed attempt left in the file is cut off first.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn recover_write(&mut self) -> Result<(), JournalError> {
        let path = segment_path(&self.dir, self.segment);
        let restored = self.file.set_len(self.length).and_then(|()| (&*self.file).seek(SeekFrom::Start(self.length)));
        restored.map_err(io_error(&path))?;
        self.write()
    }

    /// The file to `sync_data` for everything written so far.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Bytes written to the current segment.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The current segment.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// Begins a new segment with the records `head` gives, followed by `Complete`, and syncs it. Afterwards earlier
    /// segments are not needed for recovery.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal stays on the segment it had.
    pub fn rotate(&mut self, next: u64, head: impl FnOnce(&mut dyn FnMut(Record))) -> Result<(), JournalError> {
        self.write()?;
        let number = self.segment + 1;
        let (file, path) = new_segment(&self.dir, number)?;
        head(&mut |record| self.push(|out| record.encode(out)));
        self.push(|out| Record::Complete { next }.encode(out));
        let frames = std::mem::take(&mut self.buffer);
        (&*file).write_all(&frames).and_then(|()| file.sync_data()).map_err(io_error(&path))?;
        sync_dir(&self.dir)?;
        self.segment = number;
        self.length = (MAGIC.len() + frames.len()) as u64;
        self.file = file;
        Ok(())
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.seg"))
}

/// Creates segment `number`, its magic written.
fn new_segment(dir: &Path, number: u64) -> Result<(Arc<File>, PathBuf), JournalError> {
    let path = segment_path(dir, number);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
    let mut file = file.map_err(io_error(&path))?;
    file.write_all(MAGIC).map_err(io_error(&path))?;
    Ok((Arc::new(file), path))
}

/// Makes new and removed names of `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error(dir))
}

/// Numbers of the segments in `dir`, ascending.
///
/// # Errors
/// [`JournalError::Io`].
pub fn segments(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error(dir))? {
        let name = entry.map_err(io_error(dir))?.file_name();
        if let Some(number) =
            name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|stem| stem.parse().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes segment `number`.
///
/// # Errors
/// [`JournalError::Io`].
pub fn remove_segment(dir: &Path, number: u64) -> Result<(), JournalError> {
    let path = segment_path(dir, number);
    fs::remove_file(&path).map_err(io_error(&path))
}

/// Reads the whole frames of a segment from `offset` on (0: its start). `each` gets a record and the offset after it and
/// says whether it took it; at the first it did not, reading ends. Returns the offset after the last one taken. A missing
/// file reads as empty.
///
/// # Errors
/// [`JournalError`].
pub fn read_segment(
    dir: &Path,
    position: Position,
    each: impl FnMut(Record, u64) -> Result<bool, CodecError>,
) -> Result<u64, JournalError> {
    read_frames(&segment_path(dir, position.segment), position.offset, each)
}

fn read_frames(
    path: &Path,
    offset: u64,
    mut each: impl FnMut(Record, u64) -> Result<bool, CodecError>,
) -> Result<u64, JournalError> {
    let mut file = match File::open(path) {
        Ok(file) => io::BufReader::with_capacity(256 * 1024, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(offset),
        Err(cause) => return Err(io_error(path)(cause)),
    };
    let mut at = offset;
    if at < MAGIC.len() as u64 {
        let mut magic = [0; MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Ok(0);
        }
        at = MAGIC.len() as u64;
    } else {
        file.seek(SeekFrom::Start(at)).map_err(io_error(path))?;
    }
    let mut record = Vec::new();
    loop {
        let mut head = [0; FRAME_HEAD];
        if file.read_exact(&mut head).is_err() {
            return Ok(at);
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let crc = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if length > MAX_RECORD_BYTES {
            return Ok(at);
        }
        record.clear();
        // Read through `take`: a damaged length must not allocate what the file does not hold.
        match (&mut file).take(u64::from(length)).read_to_end(&mut record) {
            Ok(read) if read == length as usize && crc32fast::hash(&record) == crc => {}
            Ok(_) => return Ok(at),
            Err(cause) => return Err(io_error(path)(cause)),
        }
        let end = at + FRAME_HEAD as u64 + u64::from(length);
        let taken = Record::decode(&record)
            .and_then(|record| each(record, end))
            .map_err(|cause| JournalError::Record { path: path.to_owned(), cause })?;
        if !taken {
            return Ok(at);
        }
        at = end;
    }
}
