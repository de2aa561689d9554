//! Segment files of the spool: written at the end, read at random, removed from the front.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{HEAD_BYTES, MessageOutline, Outline, RECORD_MAX, Record, body_of};

/// Smallest segment, bytes.
const SEGMENT_MIN: u64 = 256 * 1024;
/// Buffers larger than this are given back after a write.
const BUFFER_KEPT: usize = 64 * 1024;
/// A segment of an earlier run is read in pieces of this size, bytes.
const READ_BYTES: usize = 32 * 1024;

/// Where a record stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    offset: u64,
    length: u32,
}

/// The open segments.
pub(super) struct Segments {
    dir: PathBuf,
    size: u64,
    active: File,
    /// Whether the name of `active` is durable.
    is_named: bool,
    number: u64,
    length: u64,
    /// Segments of earlier runs, in order, until they are read.
    unread: Vec<u64>,
    /// Messages still wanted, by id.
    places: BTreeMap<u64, Place>,
    /// How many of them stand in each segment; a segment that was not read yet has no number here and is never removed.
    live: BTreeMap<u64, usize>,
    buffer: Vec<u8>,
}

impl Segments {
    /// Opens a directory for writing. What is in it takes [`Segments::read_left`], before the first [`Segments::write`].
    pub(super) fn open(dir: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut unread: Vec<u64> = fs::read_dir(dir)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".spool")?.parse().ok())
            .collect();
        unread.sort_unstable();
        let number = unread.last().map_or(1, |last| last + 1);
        Ok(Segments {
            dir: dir.to_owned(),
            size: (max_bytes / 4).max(SEGMENT_MIN),
            active: create(dir, number)?,
            is_named: false,
            number,
            length: 0,
            unread,
            places: BTreeMap::new(),
            live: BTreeMap::from([(number, 0)]),
            buffer: Vec::new(),
        })
    }

    /// Reads what earlier runs left: what `entry_of` makes of the messages that are still wanted, in order of id, and the next
    /// free id. A torn tail is cut. After an error it can be tried again.
    pub(super) fn read_left<T>(
        &mut self,
        mut entry_of: impl FnMut(&MessageOutline<'_>) -> T,
    ) -> io::Result<(Vec<T>, u64)> {
        let mut found: BTreeMap<u64, (T, Place)> = BTreeMap::new();
        let mut next_id = 1;
        let mut damaged = Vec::new();
        let mut last_written = None;
        for &segment in &self.unread {
            let path = path_of(&self.dir, segment);
            let (whole, bytes) = scan(&path, |outline, offset, length| match outline {
                Outline::Settled(ids) => ids.iter().for_each(|id| drop(found.remove(id))),
                Outline::Message(message) => {
                    next_id = next_id.max(message.id.saturating_add(1));
                    found.insert(message.id, (entry_of(&message), Place { segment, offset, length }));
                }
            })?;
            if bytes > 0 {
                last_written = Some(segment);
            }
            if whole < bytes {
                damaged.push((segment, path, whole, bytes));
            }
        }
        for (segment, path, whole, bytes) in damaged {
            if Some(segment) == last_written {
                tracing::info!(path = %path.display(), cut = bytes - whole, "a torn record is cut");
            } else {
                tracing::error!(path = %path.display(), lost = bytes - whole, "a spool segment is damaged");
            }
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(whole)?;
            file.sync_all()?;
        }
        self.live.extend(std::mem::take(&mut self.unread).into_iter().map(|segment| (segment, 0)));
        for (id, (_, place)) in &found {
            self.keep(*id, *place);
        }
        Ok((found.into_values().map(|(entry, _)| entry).collect(), next_id))
    }

    /// Appends records and marks; with `sync` they are durable when it returns. After an error the file is as before.
    pub(super) fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
        settled: &[u64],
        sync: bool,
    ) -> io::Result<()> {
        if self.length >= self.size {
            self.rotate()?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut places = Vec::new();
        for record in records {
            let offset = self.length + buffer.len() as u64;
            let length = record.encode(&mut buffer);
            if let Record::Message { id, .. } = record {
                places.push((*id, Place { segment: self.number, offset, length }));
            }
        }
        if !settled.is_empty() {
            Record::Settled(settled.to_vec()).encode(&mut buffer);
        }
        let written = self.active.write_all(&buffer).and_then(|()| if sync { self.sync() } else { Ok(()) });
        let length = buffer.len() as u64;
        buffer.shrink_to(BUFFER_KEPT);
        self.buffer = buffer;
        if let Err(error) = written {
            // What was half written must not be read back as the start of the next record.
            self.active.set_len(self.length)?;
            return Err(error);
        }
        self.length += length;
        for (id, place) in places {
            self.keep(id, place);
        }
        for id in settled {
            self.release(*id);
        }
        self.drop_front();
        if let Err(error) = self.compact() {
            // What the caller asked for is durable; the disk is only fuller than it need be.
            tracing::warn!(%error, "an old spool segment cannot be written anew");
        }
        Ok(())
    }

    /// The record of a message that is still wanted; none when it is damaged.
    pub(super) fn read(&self, id: u64) -> io::Result<Option<Record>> {
        match self.places.get(&id) {
            Some(place) => self.read_at(*place),
            None => Ok(None),
        }
    }

    fn read_at(&self, place: Place) -> io::Result<Option<Record>> {
        let mut bytes = vec![0; (place.length as usize).min(RECORD_MAX + HEAD_BYTES)];
        let file = File::open(path_of(&self.dir, place.segment))?;
        file.read_exact_at(&mut bytes, place.offset)?;
        Ok(Record::decode(&bytes).map(|(record, _)| record))
    }

    /// The name must be durable before anything in the file is promised; a start that promises nothing waits for no disk.
    fn sync(&mut self) -> io::Result<()> {
        if !self.is_named {
            File::open(&self.dir)?.sync_all()?;
            self.is_named = true;
        }
        self.active.sync_data()
    }

    fn keep(&mut self, id: u64, place: Place) {
        self.release(id);
        self.places.insert(id, place);
        *self.live.entry(place.segment).or_default() += 1;
    }

    fn release(&mut self, id: u64) {
        if let Some(place) = self.places.remove(&id)
            && let Some(live) = self.live.get_mut(&place.segment)
        {
            *live -= 1;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let number = self.number + 1;
        self.active = create(&self.dir, number)?;
        (self.number, self.length, self.is_named) = (number, 0, false);
        self.live.insert(number, 0);
        Ok(())
    }

    /// Marks of settled messages stand in their own or a later segment, so only the front may go.
    pub(super) fn drop_front(&mut self) {
        while let Some((&number, 0)) = self.live.first_key_value()
            && number != self.number
        {
            if let Err(error) = fs::remove_file(path_of(&self.dir, number)) {
                tracing::warn!(%error, "a spool segment cannot be removed");
            }
            self.live.remove(&number);
        }
    }

    /// A message that nobody takes must not hold all later segments: too many segments, and the front one is written anew.
    fn compact(&mut self) -> io::Result<()> {
        const SEGMENTS_MAX: usize = 10;
        if self.live.len() <= SEGMENTS_MAX {
            return Ok(());
        }
        let Some((&front, _)) = self.live.first_key_value() else { return Ok(()) };
        let moving: Vec<(u64, Place)> =
            self.places.iter().filter(|(_, place)| place.segment == front).map(|(id, place)| (*id, *place)).collect();
        let mut buffer = Vec::new();
        let mut places = Vec::new();
        for (id, place) in moving {
            let Some(record) = self.read_at(place)? else { continue };
            let offset = self.length + buffer.len() as u64;
            let length = record.encode(&mut buffer);
            places.push((id, Place { segment: self.number, offset, length }));
        }
        if let Err(error) = self.active.write_all(&buffer).and_then(|()| self.sync()) {
            self.active.set_len(self.length)?;
            return Err(error);
        }
        self.length += buffer.len() as u64;
        for (id, place) in places {
            self.keep(id, place);
        }
        Ok(())
    }
}

/// Shows the whole records of a segment with their offsets and lengths; answers where they end and how long the file is.
fn scan(path: &Path, mut each: impl FnMut(Outline<'_>, u64, u32)) -> io::Result<(u64, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(READ_BYTES, file);
    let mut body = Vec::new();
    let mut whole = 0;
    while bytes - whole >= HEAD_BYTES as u64 {
        let mut head = [0; HEAD_BYTES];
        reader.read_exact(&mut head)?;
        let Some((length, crc)) = body_of(head) else { break };
        let end = whole + (HEAD_BYTES + length) as u64;
        if end > bytes {
            break;
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        let Some(outline) = Outline::decode(&body, crc) else { break };
        each(outline, whole, (HEAD_BYTES + length) as u32);
        whole = end;
    }
    Ok((whole, bytes))
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.spool"))
}

fn create(dir: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new().create_new(true).append(true).mode(0o600).open(path_of(dir, number))
}
