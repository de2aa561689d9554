//! [`SessionStore`] in a folder: one append-only log, one writer thread, one `fdatasync` for many records.
//!
//! A log is `sessions-{number}.log`: eight bytes of magic, then records as `length u32, crc32 u32, body`. The writer
//! keeps a mirror of what is alive. When most of a log is dead it writes the mirror to the next log, makes that
//! durable under its final name, and removes the old one: at every instant the newest log is complete.
//! A record that ends early or has the wrong checksum was being written when the power went: it and all after it were
//! never acknowledged, and are cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use super::mirror::Mirror;
use super::record;
use super::{Position, Record, SessionStore, StoreError, Stored};

const MAGIC: &[u8; 8] = b"MRMSESS1";
/// Bytes of a log below which it is not rewritten.
const COMPACT_MIN: u64 = 64 * 1024 * 1024;
/// Largest record body, bytes: a message to many sessions. A length above it is not ours.
const RECORD_MAX: u32 = 64 * 1024 * 1024;

/// Durable memory of a broker in a folder of its own.
#[derive(Debug)]
pub struct FileStore {
    shared: Arc<Shared>,
    loaded: Mutex<Option<Stored>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    durable: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Queue {
    records: Vec<Record>,
    position: Position,
    stop: bool,
}

#[derive(Debug, Default)]
struct Waiters {
    wakers: Vec<Waker>,
    failed: Option<StoreError>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileStore {
    /// Opens or creates the store in `folder`. Only one process can have it open.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_with(folder, COMPACT_MIN)
    }

    fn open_with(folder: &Path, compact_min: u64) -> Result<Self, StoreError> {
        fs::create_dir_all(folder)?;
        let guard = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        guard.try_lock().map_err(|error| StoreError::from(std::io::Error::from(error)))?;
        let (log, mirror) = Log::recover(folder, guard, compact_min)?;
        let stored = mirror.stored();
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            durable: AtomicU64::new(0),
            waiters: Mutex::default(),
        });
        let writer = std::thread::Builder::new().name("mqtt-sessions".into()).spawn({
            let shared = Arc::clone(&shared);
            move || write_all(&shared, log, mirror)
        })?;
        Ok(Self { shared, loaded: Mutex::new(Some(stored)), writer: Some(writer) })
    }
}

impl SessionStore for FileStore {
    fn load(&self) -> Result<Stored, StoreError> {
        Ok(lock(&self.loaded).take().unwrap_or_default())
    }

    fn append(&self, record: Record) -> Position {
        let mut queue = lock(&self.shared.queue);
        queue.position += 1;
        queue.records.push(record);
        if queue.records.len() == 1 {
            self.shared.arrived.notify_one();
        }
        queue.position
    }

    fn poll_durable(&self, position: Position, cx: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        if self.shared.durable.load(Ordering::Acquire) >= position {
            return Poll::Ready(Ok(()));
        }
        let mut waiters = lock(&self.shared.waiters);
        if let Some(error) = &waiters.failed {
            return Poll::Ready(Err(error.clone()));
        }
        // Checked again under the lock the writer takes to wake.
        if self.shared.durable.load(Ordering::Acquire) >= position {
            return Poll::Ready(Ok(()));
        }
        if !waiters.wakers.iter().any(|known| known.will_wake(cx.waker())) {
            waiters.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        lock(&self.shared.queue).stop = true;
        self.shared.arrived.notify_one();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the session store's writer panicked");
        }
    }
}

/// The writer thread: everything queued so far becomes one write and one sync.
fn write_all(shared: &Shared, mut log: Log, mut mirror: Mirror) {
    loop {
        let (records, position) = {
            let mut queue = lock(&shared.queue);
            while queue.records.is_empty() && !queue.stop {
                queue = shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.records.is_empty() {
                return;
            }
            (std::mem::take(&mut queue.records), queue.position)
        };
        let written = log.write(records, &mut mirror);
        let mut waiters = lock(&shared.waiters);
        match written {
            // Nobody waits for settled messages: they ride along with the next sync.
            Ok(false) => continue,
            Ok(true) => shared.durable.store(position, Ordering::Release),
            Err(error) => {
                tracing::error!(%error, "session store failed; messages to persistent sessions are refused");
                waiters.failed = Some(error);
            }
        }
        let wakers = std::mem::take(&mut waiters.wakers);
        let failed = waiters.failed.is_some();
        drop(waiters);
        wakers.into_iter().for_each(Waker::wake);
        if failed {
            return;
        }
    }
}

#[derive(Debug)]
struct Log {
    folder: PathBuf,
    number: u64,
    file: File,
    length: u64,
    compact_min: u64,
    /// Holds the lock on the folder.
    _guard: File,
    buffer: Vec<u8>,
}

fn log_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("sessions-{number:016}.log"))
}

impl Log {
    fn recover(folder: &Path, guard: File, compact_min: u64) -> Result<(Self, Mirror), StoreError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix("sessions-")?.strip_suffix(".log"));
            numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let Some(number) = numbers.pop() else {
            let (file, length) = create(folder, 1, &Mirror::default())?;
            let log =
                Self { folder: folder.into(), number: 1, file, length, compact_min, _guard: guard, buffer: Vec::new() };
            return Ok((log, Mirror::default()));
        };
        for old in numbers {
            fs::remove_file(log_path(folder, old))?;
        }
        let path = log_path(folder, number);
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mirror, length) = replay(&bytes, &path)?;
        if length < bytes.len() as u64 {
            tracing::warn!(cut = bytes.len() as u64 - length, "session log ended inside a record");
            file.set_len(length)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(length))?;
        let log = Self { folder: folder.into(), number, file, length, compact_min, _guard: guard, buffer: Vec::new() };
        Ok((log, mirror))
    }

    /// Writes records; whether they were made durable.
    fn write(&mut self, records: Vec<Record>, mirror: &mut Mirror) -> Result<bool, StoreError> {
        let mut sync = false;
        self.buffer.clear();
        for record in records {
            sync |= !matches!(record, Record::Settled { .. });
            put_record(&mut self.buffer, &record);
            mirror.apply(record);
        }
        self.file.write_all(&self.buffer)?;
        self.length += self.buffer.len() as u64;
        if self.buffer.capacity() > 1024 * 1024 {
            self.buffer = Vec::new();
        }
        if sync {
            self.file.sync_data()?;
        }
        if self.length > self.compact_min && self.length > 2 * mirror.live_bytes() {
            self.compact(mirror)?;
        }
        Ok(sync)
    }

    fn compact(&mut self, mirror: &Mirror) -> Result<(), StoreError> {
        let (file, length) = create(&self.folder, self.number + 1, mirror)?;
        fs::remove_file(log_path(&self.folder, self.number))?;
        self.number += 1;
        (self.file, self.length) = (file, length);
        Ok(())
    }
}

/// Writes a log with everything in the mirror; durable under its name when this returns.
fn create(folder: &Path, number: u64, mirror: &Mirror) -> Result<(File, u64), StoreError> {
    let temporary = folder.join("next.tmp");
    let mut bytes = MAGIC.to_vec();
    mirror.records(|record| put_record(&mut bytes, &record));
    let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, log_path(folder, number))?;
    File::open(folder)?.sync_all()?;
    Ok((file, bytes.len() as u64))
}

fn put_record(out: &mut Vec<u8>, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    record::encode(record, out);
    let length = (out.len() - start - 8) as u32;
    let checksum = crc32fast::hash(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// The mirror of a log's whole records, and where they end.
fn replay(bytes: &[u8], path: &Path) -> Result<(Mirror, u64), StoreError> {
    let corrupt = |what, at: usize| StoreError::Corrupt {
        what,
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        at: at as u64,
    };
    if !bytes.starts_with(MAGIC) {
        return Err(corrupt("not a session log", 0));
    }
    let mut mirror = Mirror::default();
    let mut at = MAGIC.len();
    while let Some(&[a, b, c, d, e, f, g, h]) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([a, b, c, d]);
        let Some(body) = bytes.get(at + 8..at + 8 + length as usize).filter(|_| length <= RECORD_MAX) else { break };
        if crc32fast::hash(body) != u32::from_le_bytes([e, f, g, h]) || length == 0 {
            break;
        }
        mirror.apply(record::decode(body).ok_or_else(|| corrupt("a record of an unknown kind", at))?);
        at += 8 + length as usize;
    }
    Ok((mirror, at as u64))
}

/// Entry of the fuzz target: a session log whose records have the right checksums. A byte of the input tells how many bytes
/// behind it are one.
pub fn fuzz_session_log(data: &[u8]) {
    let mut log = MAGIC.to_vec();
    let mut rest = data;
    while let Some((length, behind)) = rest.split_first() {
        let (body, next) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = next;
        log.extend_from_slice(&(body.len() as u32).to_le_bytes());
        log.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        log.extend_from_slice(body);
    }
    if let Ok((mirror, length)) = replay(&log, Path::new("log")) {
        assert!(length as usize <= log.len());
        let mut again = MAGIC.to_vec();
        mirror.records(|record| put_record(&mut again, &record));
        assert!(replay(&again, Path::new("log")).is_ok(), "what was read can be written and read again");
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use marram_mqtt::{ClientId, PublishProperties, QoS, SubscribeOptions, Topic, TopicFilter};

    use super::*;
    use crate::authorize::Tenant;
    use crate::message::Message;

    fn sample() -> Vec<Record> {
        let tenant = Tenant::new("a");
        let text = |text: &str| Topic::new(text).unwrap();
        let properties =
            PublishProperties { user_properties: vec![("k".into(), "v".into())], ..PublishProperties::default() };
        let message = |payload: &str| Arc::new(Message::new(text("t"), payload.to_owned()).with_qos(QoS::AtLeastOnce));
        let options = SubscribeOptions { qos: QoS::AtLeastOnce, retain_as_published: true, ..Default::default() };
        let client_id = ClientId::new("c").unwrap();
        let filter = TopicFilter::new("$share/g/a/+").unwrap();
        let will = |client_id: &str| Record::WillLeft {
            tenant: tenant.clone(),
            client_id: ClientId::new(client_id).unwrap(),
            message: message("bye"),
            delay_secs: 30,
        };
        vec![
            Record::SessionOpened { session: 1, tenant: tenant.clone(), client_id: client_id.clone(), expiry_secs: 60 },
            Record::SessionOpened { session: 2, tenant: tenant.clone(), client_id, expiry_secs: 60 },
            Record::Subscribed { session: 1, filter: filter.clone(), options },
            Record::Subscribed { session: 2, filter: filter.clone(), options },
            Record::Enqueued { targets: vec![(1, 1), (2, 1)], message: message("one") },
            Record::Enqueued { targets: vec![(1, 2)], message: message("two") },
            Record::Settled { session: 1, sequences: vec![1] },
            Record::SessionClosed { session: 2 },
            Record::Retained {
                tenant: tenant.clone(),
                message: Arc::new(Message::new(text("r"), "kept").retained().with_properties(properties)),
            },
            Record::Retained { tenant: tenant.clone(), message: Arc::new(Message::new(text("x"), "y").retained()) },
            Record::RetainCleared { tenant: tenant.clone(), topic: text("x") },
            will("polite"),
            will("gone"),
            Record::WillGone { tenant, client_id: ClientId::new("polite").unwrap() },
            Record::SessionDetached { session: 1, at_secs: 7 },
        ]
    }

    fn check(stored: &Stored) {
        let [session] = &stored.sessions[..] else { panic!("{stored:?}") };
        assert_eq!((session.session, session.expiry_secs, session.detached_at_secs), (1, 60, Some(7)));
        assert_eq!(session.subscriptions[0].0.as_str(), "$share/g/a/+");
        assert!(session.subscriptions[0].1.retain_as_published);
        let [(2, message)] = &session.queue[..] else { panic!("{session:?}") };
        assert_eq!((&message.payload[..], message.qos), (&b"two"[..], QoS::AtLeastOnce));
        let [(_, kept)] = &stored.retained[..] else { panic!("{stored:?}") };
        assert_eq!((&kept.payload[..], kept.retain), (&b"kept"[..], true));
        assert_eq!(kept.properties.as_ref().unwrap().user_properties[0].1, "v");
        let [will] = &stored.wills[..] else { panic!("{stored:?}") };
        assert_eq!((will.client_id.as_str(), &will.message.payload[..], will.delay_secs), ("gone", &b"bye"[..], 30));
    }

    async fn append_all(store: &FileStore, records: Vec<Record>) {
        let last = records.into_iter().map(|record| store.append(record)).last().unwrap();
        poll_fn(|cx| store.poll_durable(last, cx)).await.unwrap();
    }

    /// CP 5.2, durable sessions: what was written is there again, also through compactions.
    #[tokio::test]
    async fn what_was_written_is_there_again() {
        for compact_min in [COMPACT_MIN, 1] {
            let folder = tempfile::tempdir().unwrap();
            let store = FileStore::open_with(folder.path(), compact_min).unwrap();
            assert!(FileStore::open(folder.path()).is_err(), "two processes must not write one log");
            append_all(&store, sample()).await;
            drop(store);
            check(&FileStore::open(folder.path()).unwrap().load().unwrap());
        }
    }

    /// A log cut at any byte opens, holds a prefix of what was written, and can be appended to.
    #[tokio::test]
    async fn a_log_cut_anywhere_opens() {
        let folder = tempfile::tempdir().unwrap();
        append_all(&FileStore::open(folder.path()).unwrap(), sample()).await;
        let path = log_path(folder.path(), 1);
        let bytes = fs::read(&path).unwrap();
        for cut in (MAGIC.len()..bytes.len()).step_by(3) {
            let mut torn = bytes[..cut].to_vec();
            torn.extend_from_slice(&[0; 40]);
            fs::write(&path, torn).unwrap();
            let store = FileStore::open(folder.path()).unwrap();
            append_all(&store, sample()).await;
            drop(store);
            check(&FileStore::open(folder.path()).unwrap().load().unwrap());
        }
    }
}
