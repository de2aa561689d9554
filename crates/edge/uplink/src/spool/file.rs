//! Segment files of the spool: written at the end, read at random, removed from the front.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{RECORD_MAX, Record};

/// Smallest segment, bytes.
const SEGMENT_MIN: u64 = 256 * 1024;
/// Buffers larger than this are given back after a write.
const BUFFER_KEPT: usize = 64 * 1024;

/// Where a record stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
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
    /// Ids of messages still wanted, by segment.
    live: BTreeMap<u64, HashMap<u64, Place>>,
    home: HashMap<u64, u64>,
    buffer: Vec<u8>,
}

impl Segments {
    /// Opens a directory: the messages in it in order of id, and the next free id.
    pub(super) fn open(dir: &Path, max_bytes: u64) -> io::Result<(Self, Vec<(Record, Place)>, u64)> {
        fs::create_dir_all(dir)?;
        let mut numbers: Vec<u64> = fs::read_dir(dir)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".spool")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let mut found: BTreeMap<u64, (Record, Place)> = BTreeMap::new();
        let mut next_id = 1;
        for (nth, number) in numbers.iter().enumerate() {
            let path = path_of(dir, *number);
            let bytes = fs::read(&path)?;
            let mut offset = 0;
            while let Some((record, length)) = Record::decode(&bytes[offset..]) {
                match record {
                    Record::Settled(ids) => ids.iter().for_each(|id| drop(found.remove(id))),
                    Record::Message { id, .. } => {
                        let place = Place {
                            segment: *number,
                            offset: offset as u64,
                            length: u32::try_from(length).unwrap_or(0),
                        };
                        next_id = next_id.max(id + 1);
                        found.insert(id, (record, place));
                    }
                }
                offset += length;
            }
            if offset < bytes.len() {
                if nth + 1 < numbers.len() {
                    tracing::error!(path = %path.display(), lost = bytes.len() - offset, "a spool segment is damaged");
                } else {
                    tracing::info!(path = %path.display(), cut = bytes.len() - offset, "a torn record is cut");
                }
                let file = OpenOptions::new().write(true).open(&path)?;
                file.set_len(offset as u64)?;
                file.sync_all()?;
            }
        }
        let number = numbers.last().map_or(1, |last| last + 1);
        let active = create(dir, number)?;
        let mut segments = Segments {
            dir: dir.to_owned(),
            size: (max_bytes / 4).max(SEGMENT_MIN),
            active,
            is_named: false,
            number,
            length: 0,
            live: numbers.iter().chain([&number]).map(|number| (*number, HashMap::new())).collect(),
            home: HashMap::new(),
            buffer: Vec::new(),
        };
        for (id, (_, place)) in &found {
            segments.keep(*id, *place);
        }
        Ok((segments, found.into_values().collect(), next_id))
    }

    /// Appends records and marks; with `sync` they are durable when it returns. After an error the file is as before.
    pub(super) fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
        settled: &[u64],
        sync: bool,
    ) -> io::Result<Vec<Place>> {
        if self.length >= self.size {
            self.rotate()?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut places = Vec::new();
        let mut ids = Vec::new();
        for record in records {
            let offset = self.length + buffer.len() as u64;
            let length = record.encode(&mut buffer);
            places.push(Place { segment: self.number, offset, length });
            if let Record::Message { id, .. } = record {
                ids.push(*id);
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
        for (id, place) in ids.into_iter().zip(&places) {
            self.keep(id, *place);
        }
        for id in settled {
            if let Some(segment) = self.home.remove(id)
                && let Some(live) = self.live.get_mut(&segment)
            {
                live.remove(id);
            }
        }
        self.drop_front();
        if let Err(error) = self.compact() {
            // What the caller asked for is durable; the disk is only fuller than it need be.
            tracing::warn!(%error, "an old spool segment cannot be written anew");
        }
        Ok(places)
    }

    /// A record by its place; none when it is damaged.
    pub(super) fn read(&self, place: Place) -> io::Result<Option<Record>> {
        let mut bytes = vec![0; (place.length as usize).min(RECORD_MAX + 8)];
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
        self.home.insert(id, place.segment);
        self.live.entry(place.segment).or_default().insert(id, place);
    }

    fn rotate(&mut self) -> io::Result<()> {
        let number = self.number + 1;
        self.active = create(&self.dir, number)?;
        (self.number, self.length, self.is_named) = (number, 0, false);
        self.live.insert(number, HashMap::new());
        Ok(())
    }

    /// Marks of settled messages stand in their own or a later segment, so only the front may go.
    pub(super) fn drop_front(&mut self) {
        while let Some((&number, live)) = self.live.first_key_value()
            && live.is_empty()
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
        let Some((&front, live)) = self.live.first_key_value() else { return Ok(()) };
        let mut moving: Vec<(u64, Place)> = live.iter().map(|(id, place)| (*id, *place)).collect();
        moving.sort_unstable_by_key(|(id, _)| *id);
        let mut buffer = Vec::new();
        let mut places = Vec::new();
        for (id, place) in moving {
            let Some(record) = self.read(place)? else { continue };
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
            if let Some(live) = self.live.get_mut(&front) {
                live.remove(&id);
            }
            self.keep(id, place);
        }
        Ok(())
    }

    /// Where a message stands now.
    pub(super) fn place(&self, id: u64) -> Option<Place> {
        self.live.get(self.home.get(&id)?)?.get(&id).copied()
    }
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.spool"))
}

fn create(dir: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new().create_new(true).append(true).mode(0o600).open(path_of(dir, number))
}
