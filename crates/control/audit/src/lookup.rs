//! The query behind LookupEvents: newest first, one page at a time, with bounded work per page.

use marram_store::{Row, Snapshot, SqlValue, StoreError, params};
use marram_types::{AccountId, Region, Timestamp};

use crate::segment::unfold;
use crate::text::{Text, moment_of_id};

/// Rows a page looks at most; a filter that matches little answers short pages with a token.
const SCAN_MAX: usize = 20_000;

/// Records are stored in the order they were committed; calls end this much later than they began at most, so a record
/// with an earlier time may stand this far behind one with a later time.
const DISORDER_MICROS: i64 = 15 * 60 * 1_000_000;

/// One attribute to filter by, as LookupEvents names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `EventId`
    EventId(String),
    /// `EventName`
    EventName(String),
    /// `EventSource`
    EventSource(String),
    /// `ReadOnly`
    ReadOnly(bool),
    /// `Username`
    Username(String),
    /// `AccessKeyId`
    AccessKeyId(String),
    /// `ResourceType`: `AWS::IoT::Thing`
    ResourceType(String),
    /// `ResourceName`: an ARN, or what stands behind its last `/`
    ResourceName(String),
}

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct LookupQuery {
    /// All must hold; LookupEvents allows one.
    pub filters: Vec<Filter>,
    /// Earliest `eventTime`.
    pub start: Option<Timestamp>,
    /// Latest `eventTime`.
    pub end: Option<Timestamp>,
    /// Only records with a smaller number: where the page before ended.
    pub before_seq: Option<i64>,
    /// Records in a page.
    pub limit: usize,
}

/// One record found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupRecord {
    /// Number in the account's log.
    pub seq: i64,
    /// When the call was accepted.
    pub time: Timestamp,
    /// `eventID`
    pub event_id: String,
    /// `eventSource`
    pub event_source: String,
    /// `eventName`
    pub event_name: String,
    /// Whether the call changed nothing.
    pub read_only: bool,
    /// User or session name.
    pub username: Option<String>,
    /// The key that signed.
    pub access_key_id: Option<String>,
    /// Type (may be empty) and ARN of what was touched.
    pub resources: Vec<(String, String)>,
    /// The whole record, canonical JSON.
    pub record: String,
}

/// A page, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LookupPage {
    /// At most `limit`; may be none although more follow.
    pub records: Vec<LookupRecord>,
    /// `before_seq` of the next page; `None` on the last.
    pub next: Option<i64>,
}

/// Looks up management events of one account and region.
///
/// # Errors
/// The store's.
pub fn lookup(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    region: &Region,
    query: &LookupQuery,
) -> Result<LookupPage, StoreError> {
    let mut before = query.before_seq.unwrap_or(i64::MAX);
    // An event id tells its millisecond, so it needs no scan of the whole log.
    let (mut start, mut end) = (query.start, query.end);
    for filter in &query.filters {
        if let Filter::EventId(id) = filter {
            let Some(at) = moment_of_id(id) else { return Ok(LookupPage { records: Vec::new(), next: None }) };
            start = Some(start.map_or(at, |start| start.max(at)));
            let last = Timestamp::from_micros(at.as_micros() + 999);
            end = Some(end.map_or(last, |end| end.min(last)));
        }
    }
    if let Some(end) = end {
        let late = Timestamp::from_micros(end.as_micros().saturating_add(DISORDER_MICROS));
        before = before.min(first_seq_after(snapshot, account, late)?);
    }
    let earliest = start.map_or(i64::MIN, |start| start.as_micros().saturating_sub(DISORDER_MICROS));
    let (conditions, values) = conditions(region, start, end, &query.filters);
    let sql = format!(
        "SELECT seq, time, event_id, event_source, event_name, read_only, username, access_key_id, resources,
             CASE WHEN {conditions} THEN record END, NULL
         FROM audit_record WHERE account = $1 AND seq < $2
         UNION ALL
         SELECT first_seq, time, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, texts
         FROM audit_segment WHERE account = $1 AND first_seq < $2
         ORDER BY 1 DESC"
    );
    let mut all = params![account, before].to_vec();
    all.extend(values.iter().map(marram_store::ToSqlValue::to_sql_value));
    let mut scan = Scan { limit: query.limit, earliest, scanned: 0, last_seq: before, page: LookupPage::default() };
    let window = Window { region, start, end, filters: &query.filters };
    snapshot.query_each(&sql, &all, |row| {
        let seq: i64 = row.get(0)?;
        let Some(folded) = row.get::<Option<Vec<u8>>>(10)? else {
            return scan.visit(seq, row.get(1)?, || match row.get::<Option<String>>(9)? {
                Some(record) => from_row(row, record).map(Some),
                None => Ok(None),
            });
        };
        let texts = unfold(&folded).unwrap_or_default();
        for (index, text) in texts.into_iter().enumerate().rev() {
            let seq = seq + i64::try_from(index).unwrap_or(i64::MAX);
            if seq >= before {
                continue;
            }
            let Ok(read) = serde_json::from_str::<Text<'_>>(&text) else { continue };
            let Some(time) = read.moment() else { continue };
            let found = || Ok(window.admits(&read, time).then(|| from_text(seq, time, &read, &text)));
            if !scan.visit(seq, time, found)? {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    Ok(scan.page)
}

/// Walks from the newest record backwards until a page is full.
struct Scan {
    limit: usize,
    earliest: i64,
    scanned: usize,
    last_seq: i64,
    page: LookupPage,
}

impl Scan {
    /// Takes one record into account; answers whether to go on.
    fn visit(
        &mut self,
        seq: i64,
        time: Timestamp,
        found: impl FnOnce() -> Result<Option<LookupRecord>, StoreError>,
    ) -> Result<bool, StoreError> {
        if self.page.records.len() == self.limit || self.scanned == SCAN_MAX {
            self.page.next = Some(self.last_seq);
            return Ok(false);
        }
        self.scanned += 1;
        self.last_seq = seq;
        if time.as_micros() < self.earliest {
            return Ok(false);
        }
        self.page.records.extend(found()?);
        Ok(true)
    }
}

/// A record that is a row of its own.
fn from_row(row: &Row<'_>, record: String) -> Result<LookupRecord, StoreError> {
    Ok(LookupRecord {
        seq: row.get(0)?,
        time: row.get(1)?,
        event_id: row.get(2)?,
        event_source: row.get(3)?,
        event_name: row.get(4)?,
        read_only: row.get(5)?,
        username: row.get(6)?,
        access_key_id: row.get(7)?,
        resources: pairs(row.text(8)?),
        record,
    })
}

/// A record out of a segment.
fn from_text(seq: i64, time: Timestamp, read: &Text<'_>, text: &str) -> LookupRecord {
    LookupRecord {
        seq,
        time,
        event_id: read.event_id.to_owned(),
        event_source: read.event_source.to_owned(),
        event_name: read.event_name.to_owned(),
        read_only: read.read_only,
        username: read.username().map(str::to_owned),
        access_key_id: read.user_identity.access_key_id.clone(),
        resources: pairs(&read.resources()),
        record: text.to_owned(),
    }
}

/// Lines of `type|arn`, taken apart.
fn pairs(lines: &str) -> Vec<(String, String)> {
    let pairs = lines.lines().filter_map(|line| line.split_once('|'));
    pairs.map(|(kind, arn)| (kind.to_owned(), arn.to_owned())).collect()
}

/// The conditions besides place, for records of segments.
struct Window<'q> {
    region: &'q Region,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    filters: &'q [Filter],
}

impl Window<'_> {
    /// The same as [`conditions`] say of a row.
    fn admits(&self, read: &Text<'_>, time: Timestamp) -> bool {
        read.management_event
            && read.aws_region == self.region.as_str()
            && self.start.is_none_or(|start| time >= start)
            && self.end.is_none_or(|end| time <= end)
            && self.filters.iter().all(|filter| match filter {
                Filter::EventId(id) => read.event_id == id,
                Filter::EventName(name) => read.event_name == name,
                Filter::EventSource(source) => read.event_source == source,
                Filter::ReadOnly(read_only) => read.read_only == *read_only,
                Filter::Username(name) => read.username() == Some(name),
                Filter::AccessKeyId(id) => read.user_identity.access_key_id.as_ref() == Some(id),
                Filter::ResourceType(kind) => read.resources().contains(&format!("\n{kind}|")),
                Filter::ResourceName(name) => read.resources().replace('|', "/").contains(&format!("/{name}\n")),
            })
    }
}

/// The conditions besides place, as SQL over placeholders from `$3`, with their values.
fn conditions<'q>(
    region: &'q Region,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    filters: &'q [Filter],
) -> (String, Vec<SqlValue<'q>>) {
    let mut sql = vec!["management = 1".to_owned()];
    let mut values = Vec::new();
    let mut put = |condition: &str, value: SqlValue<'q>| {
        values.push(value);
        sql.push(condition.replace('?', &format!("${}", values.len() + 2)));
    };
    put("region = ?", SqlValue::Text(region.as_str()));
    if let Some(start) = start {
        put("time >= ?", SqlValue::Integer(start.as_micros()));
    }
    if let Some(end) = end {
        put("time <= ?", SqlValue::Integer(end.as_micros()));
    }
    for filter in filters {
        match filter {
            Filter::EventId(id) => put("event_id = ?", SqlValue::Text(id)),
            Filter::EventName(name) => put("event_name = ?", SqlValue::Text(name)),
            Filter::EventSource(source) => put("event_source = ?", SqlValue::Text(source)),
            Filter::ReadOnly(read_only) => put("read_only = ?", SqlValue::Integer(i64::from(*read_only))),
            Filter::Username(name) => put("username = ?", SqlValue::Text(name)),
            Filter::AccessKeyId(id) => put("access_key_id = ?", SqlValue::Text(id)),
            // Lines are `type|arn` between newlines.
            Filter::ResourceType(kind) => {
                put("INSTR(resources, ?) > 0", SqlValue::OwnedText(format!("\n{kind}|")));
            }
            Filter::ResourceName(name) => {
                put("INSTR(REPLACE(resources, '|', '/'), ?) > 0", SqlValue::OwnedText(format!("/{name}\n")));
            }
        }
    }
    (sql.join(" AND "), values)
}

/// The first number whose record is later than `moment`, give or take the disorder of records; for skipping ahead.
fn first_seq_after(snapshot: &Snapshot<'_>, account: &AccountId, moment: Timestamp) -> Result<i64, StoreError> {
    let (last, _) = crate::chain::head(snapshot, account)?;
    let (mut low, mut high) = (1_i64, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let place = params![account, middle];
        let together = snapshot.query_opt(
            "SELECT last_seq, time FROM audit_segment WHERE account = $1 AND first_seq <= $2
             ORDER BY first_seq DESC LIMIT 1",
            place,
            |row| Ok::<(i64, Timestamp), StoreError>((row.get(0)?, row.get(1)?)),
        )?;
        let time = match together.filter(|(last, _)| *last >= middle) {
            Some((_, time)) => Some(time),
            None => snapshot.query_opt(
                "SELECT time FROM audit_record WHERE account = $1 AND seq >= $2 ORDER BY seq LIMIT 1",
                place,
                |row| row.get::<Timestamp>(0),
            )?,
        };
        if time.is_some_and(|time| time <= moment) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
