//! Log files in the order of time: those of a component one after the other, components side by side.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::client::CliError;
use crate::log::Entry;

/// Longest line read into memory; what follows is cut off.
const MAX_LINE: u64 = 1024 * 1024;
/// `_yyyy_MM_dd_HH_<i>` of a file that was moved aside.
const ASIDE_PARTS: usize = 5;

/// Makes an entry of a line; none when the line is of another form.
pub(crate) type Form = fn(String) -> Option<Entry>;

/// The hour and number of a file that was moved aside, behind the name that it had.
fn aside(stem: &str) -> Option<(&str, (String, u64))> {
    let mut parts: Vec<&str> = stem.rsplitn(ASIDE_PARTS + 1, '_').collect();
    parts.reverse();
    let [base, year, month, day, hour, number] = parts.as_slice() else { return None };
    let is_number = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = is_number(year, 4) && [month, day, hour].into_iter().all(|part| is_number(part, 2));
    Some((base, (format!("{year}{month}{day}{hour}"), number.parse().ok().filter(|_| fits)?)))
}

/// Files of one log each, oldest first; the one that is written to is the last.
pub(crate) fn logs(files: Vec<PathBuf>) -> Vec<VecDeque<PathBuf>> {
    let mut logs: BTreeMap<PathBuf, Vec<(bool, String, u64, PathBuf)>> = BTreeMap::new();
    for file in files {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder = file.parent().unwrap_or(Path::new(""));
        let (base, place) = match aside(stem) {
            Some((base, (hour, number))) => (folder.join(base), (false, hour, number, file.clone())),
            None => (folder.join(stem), (true, String::new(), 0, file.clone())),
        };
        logs.entry(base).or_default().push(place);
    }
    let in_order = |mut parts: Vec<(bool, String, u64, PathBuf)>| {
        parts.sort();
        parts.into_iter().map(|(.., file)| file).collect()
    };
    logs.into_values().map(in_order).collect()
}

/// One log: its next entry, and where the following ones come from.
pub(crate) struct Stream {
    files: VecDeque<PathBuf>,
    reader: Option<BufReader<File>>,
    form: Form,
    next: Option<Entry>,
    /// Of the last entry that had one: lines without a time belong to the one before.
    time: Timestamp,
}

impl Stream {
    /// At its first entry.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn open(files: VecDeque<PathBuf>, form: Form) -> Result<Self, CliError> {
        let mut stream = Self { files, reader: None, form, next: None, time: Timestamp::MIN };
        stream.advance()?;
        Ok(stream)
    }

    /// Reads on; at the end, what is written later is found by the next call.
    pub(crate) fn advance(&mut self) -> Result<(), CliError> {
        self.next = None;
        loop {
            if let Some(entry) = self.reader.as_mut().and_then(|reader| read(reader, self.form)) {
                self.time = entry.time().unwrap_or(self.time);
                self.next = Some(entry);
                return Ok(());
            }
            let Some(path) = self.files.pop_front() else { return Ok(()) };
            let file = File::open(&path).map_err(|source| CliError::File { path, source })?;
            self.reader = Some(BufReader::new(file));
        }
    }
}

/// The next entry of that form.
fn read(reader: &mut BufReader<File>, form: Form) -> Option<Entry> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        if let Some(entry) = form(String::from_utf8_lossy(&bytes).trim_end().to_owned()) {
            return Some(entry);
        }
    }
}

/// The oldest entry of all; none when all are at their end.
///
/// # Errors
/// A file cannot be opened.
pub(crate) fn next(streams: &mut [Stream]) -> Result<Option<Entry>, CliError> {
    let Some(oldest) = streams.iter_mut().filter(|stream| stream.next.is_some()).min_by_key(|stream| stream.time)
    else {
        return Ok(None);
    };
    let entry = oldest.next.take();
    oldest.advance()?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.1, 7.7: what was moved aside comes before what is written now, by its number and not its name; components are merged by time; a
    /// line without a time stays with the one before it; what is written later is found.
    #[test]
    fn entries_come_in_the_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: &[(u32, &str)]| {
            let line =
                |(second, text): &(u32, &str)| format!("2026-11-23T04:00:{second:02}Z [INFO] (x) {name}: {text}\n");
            std::fs::write(dir.path().join(name), lines.iter().map(line).collect::<String>()).unwrap();
        };
        write("a_b.log", &[(4, "five"), (9, "ten\nand more of it")]);
        write("a_b_2026_11_23_04_10.log", &[(2, "three")]);
        write("a_b_2026_11_23_04_8.log", &[(0, "one")]);
        write("a_b_2026_11_22_23_11.log", &[(0, "zero")]);
        write("c.log", &[(1, "two"), (3, "four"), (10, "eleven")]);
        let files: Vec<PathBuf> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let open = |files| Stream::open(files, |line| Some(Entry::read(line)));
        let mut streams: Vec<Stream> = logs(files).into_iter().map(|files| open(files).unwrap()).collect();
        let mut said = Vec::new();
        while let Some(entry) = next(&mut streams).unwrap() {
            said.push(entry.short().rsplit(": ").next().unwrap().to_owned());
        }
        assert_eq!(said, ["zero", "one", "two", "three", "four", "five", "ten", "and more of it", "eleven"]);
        write("c.log", &[(1, "two"), (3, "four"), (10, "eleven"), (11, "twelve")]);
        streams.iter_mut().for_each(|stream| stream.advance().unwrap());
        assert!(next(&mut streams).unwrap().unwrap().short().ends_with("twelve"));
    }
}
