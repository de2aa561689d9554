//! Statements inside a snapshot or a transaction.

use std::any::{Any, TypeId};
use std::ops::Deref;
use std::str::FromStr;

use rusqlite::{CachedStatement, Connection};

use crate::error::StoreError;
use crate::value::{FromColumn, SqlValue, borrow};

/// A consistent view of the data, for the length of one closure.
#[derive(Debug)]
pub struct Snapshot<'c> {
    connection: &'c Connection,
}

/// A write transaction, for the length of one closure. It reads like a [`Snapshot`] and sees its own writes, so
/// functions that take `&Snapshot` can be called with it.
pub struct Tx<'c> {
    snapshot: Snapshot<'c>,
    memo: Memo,
    closing: Closings,
    after_commit: Vec<Box<dyn FnOnce() + Send>>,
    failure: Option<StoreError>,
}

/// What transactions leave to be written for all of them at once, right before the commit they share; see [`Tx::close_with`].
pub trait Closing: Send + Sized + 'static {
    /// Writes what all transactions of the commit left, in their order. An error undoes the whole commit.
    ///
    /// # Errors
    /// What every caller of the commit is answered.
    fn close(tx: &mut Tx<'_>, all: Vec<Self>) -> Result<(), StoreError>;
}

/// What is left to be written before a commit, by type.
#[derive(Default)]
pub(crate) struct Closings(Vec<ClosingGroup>);

struct ClosingGroup {
    kind: TypeId,
    close: ClosingFn,
    all: Vec<Box<dyn Any + Send>>,
}

impl Closings {
    fn group(&mut self, kind: TypeId, close: ClosingFn) -> &mut Vec<Box<dyn Any + Send>> {
        let known = self.0.iter().position(|group| group.kind == kind);
        let index = known.unwrap_or_else(|| {
            self.0.push(ClosingGroup { kind, close, all: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[index].all
    }

    /// Takes over what a transaction left.
    pub(crate) fn append(&mut self, later: Closings) {
        for group in later.0 {
            self.group(group.kind, group.close).extend(group.all);
        }
    }

    /// Writes everything.
    pub(crate) fn run(self, connection: &Connection, memo: Memo) -> Result<(), StoreError> {
        let mut tx = Tx::new(connection, memo);
        self.0.into_iter().try_for_each(|group| (group.close)(&mut tx, group.all))
    }
}

type ClosingFn = fn(&mut Tx<'_>, Vec<Box<dyn Any + Send>>) -> Result<(), StoreError>;

fn close_all<T: Closing>(tx: &mut Tx<'_>, all: Vec<Box<dyn Any + Send>>) -> Result<(), StoreError> {
    // Grouped by type, so each is one.
    T::close(tx, all.into_iter().filter_map(|one| one.downcast::<T>().ok()).map(|one| *one).collect())
}

/// Values that transactions of one group remember for those behind them, by type.
#[derive(Default)]
pub(crate) struct Memo(Vec<Box<dyn Any + Send>>);

/// One row of a result. Columns are counted from 0.
#[derive(Debug)]
pub struct Row<'r> {
    row: &'r rusqlite::Row<'r>,
}

impl<'c> Snapshot<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection }
    }

    /// The first row, mapped, or `None`. Ask for `LIMIT 1` when there may be more.
    ///
    /// # Errors
    /// Whatever `map` answers, or the engine.
    pub fn query_opt<T, E: From<StoreError>>(
        &self,
        sql: &str,
        params: &[SqlValue<'_>],
        map: impl FnOnce(&Row<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let mut statement = self.bind(sql, params)?;
        let mut rows = statement.raw_query();
        match rows.next().map_err(StoreError::from)? {
            Some(row) => map(&Row { row }).map(Some),
            None => Ok(None),
        }
    }

    /// The first row, mapped.
    ///
    /// # Errors
    /// [`StoreError::NoRow`] when there is none; whatever `map` answers, or the engine.
    pub fn query_one<T, E: From<StoreError>>(
        &self,
        sql: &str,
        params: &[SqlValue<'_>],
        map: impl FnOnce(&Row<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.query_opt(sql, params, map)?.ok_or_else(|| StoreError::NoRow.into())
    }

    /// All rows, mapped, in the order of the statement. Bound them with `LIMIT`.
    ///
    /// # Errors
    /// The first that `map` answers, or the engine.
    pub fn query_all<T, E: From<StoreError>>(
        &self,
        sql: &str,
        params: &[SqlValue<'_>],
        mut map: impl FnMut(&Row<'_>) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let mut all = Vec::new();
        self.query_each(sql, params, |row| {
            all.push(map(row)?);
            Ok::<_, E>(true)
        })?;
        Ok(all)
    }

    /// Walks over rows until `each` answers `false`; holds one row in memory at a time.
    ///
    /// # Errors
    /// The first that `each` answers, or the engine.
    pub fn query_each<E: From<StoreError>>(
        &self,
        sql: &str,
        params: &[SqlValue<'_>],
        mut each: impl FnMut(&Row<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut statement = self.bind(sql, params)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            if !each(&Row { row })? {
                break;
            }
        }
        Ok(())
    }

    /// Prepares a statement ahead of its first use; statements are cached per connection, so later uses are cheap.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when it is wrong.
    pub fn prepare_cached(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?;
        Ok(())
    }

    /// SQLite numbers `$n` placeholders by first appearance, not by `n`, so each is bound by its name.
    fn bind(&self, sql: &str, params: &[SqlValue<'_>]) -> Result<CachedStatement<'c>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut highest = 0;
        for index in 1..=statement.parameter_count() {
            let number = statement
                .parameter_name(index)
                .and_then(number_of)
                .ok_or_else(|| StoreError::Statement(format!("placeholders are $1, $2, ..: {sql}")))?;
            let value = params
                .get(number - 1)
                .ok_or_else(|| StoreError::Statement(format!("no value for ${number}: {sql}")))?;
            statement.raw_bind_parameter(index, value)?;
            highest = highest.max(number);
        }
        if highest != params.len() {
            return Err(StoreError::Statement(format!("{} values for {highest} placeholders: {sql}", params.len())));
        }
        Ok(statement)
    }
}

/// `7` of `$7`.
fn number_of(placeholder: &str) -> Option<usize> {
    match placeholder.as_bytes() {
        // Nearly all: no need to parse them, for each value of each statement.
        [b'$', digit @ b'1'..=b'9'] => Some(usize::from(digit - b'0')),
        _ => placeholder.strip_prefix('$')?.parse().ok().filter(|number| *number > 0),
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c Connection, memo: Memo) -> Self {
        Self {
            snapshot: Snapshot::new(connection),
            memo,
            closing: Closings::default(),
            after_commit: Vec::new(),
            failure: None,
        }
    }

    /// What a transaction committed together with this one remembered of its own writes, or the default. Nobody else
    /// writes in between, and everything is forgotten as soon as one of them is undone, so it is as good as a query.
    pub fn memo<T: Any + Send + Default>(&mut self) -> &mut T {
        let known = self.memo.0.iter().position(|value| value.is::<T>());
        let index = known.unwrap_or_else(|| {
            self.memo.0.push(Box::<T>::default());
            self.memo.0.len() - 1
        });
        self.memo.0[index].downcast_mut().expect("found or made as this type")
    }

    /// Leaves something to be written together with what other transactions of the same commit leave. It is durable with
    /// this transaction and gone with it, but this transaction does not see it.
    pub fn close_with<T: Closing>(&mut self, left: T) {
        self.closing.group(TypeId::of::<T>(), close_all::<T>).push(Box::new(left));
    }

    /// Runs a statement that returns no rows; answers how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Constraint`] when a rule of the schema is broken; others as the engine answers.
    pub fn execute(&mut self, sql: &str, params: &[SqlValue<'_>]) -> Result<u64, StoreError> {
        let changed = self.snapshot.bind(sql, params).and_then(|mut statement| Ok(statement.raw_execute()?));
        self.note(changed).map(|changed| u64::try_from(changed).unwrap_or(0))
    }

    /// Runs several statements separated by `;`, without parameters: schema scripts.
    ///
    /// # Errors
    /// The first that fails.
    pub fn execute_script(&mut self, sql: &str) -> Result<(), StoreError> {
        let done = self.snapshot.connection.execute_batch(sql).map_err(StoreError::from);
        self.note(done)
    }

    /// Runs `then` on the writer thread right after this transaction is durable, before its caller is told; never when
    /// it is rolled back. For bumping versions that invalidate caches; must be short and must not touch the store.
    pub fn after_commit(&mut self, then: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(then));
    }

    /// Remembers the last failure, for the writer to name when the engine rolled back more than this transaction.
    fn note<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &outcome {
            self.failure = Some(error.clone());
        }
        outcome
    }

    pub(crate) fn into_failure(self) -> Option<StoreError> {
        self.failure
    }

    pub(crate) fn into_parts(self) -> (Vec<Box<dyn FnOnce() + Send>>, Memo, Closings) {
        (self.after_commit, self.memo, self.closing)
    }
}

impl<'c> Deref for Tx<'c> {
    type Target = Snapshot<'c>;
    fn deref(&self) -> &Snapshot<'c> {
        &self.snapshot
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

impl Row<'_> {
    /// Column `index` as `T`: `i64`, `u32`, `bool`, `String`, `Vec<u8>`, `Timestamp`, `Option<_>` ..
    ///
    /// # Errors
    /// [`StoreError::Column`] when it holds something else.
    pub fn get<T: FromColumn>(&self, index: usize) -> Result<T, StoreError> {
        T::from_column(self.value(index)?).ok_or(StoreError::Column { column: index, expected: T::EXPECTED })
    }

    /// Column `index` as a borrowed text.
    ///
    /// # Errors
    /// [`StoreError::Column`] when it is not a text.
    pub fn text(&self, index: usize) -> Result<&str, StoreError> {
        match self.value(index)? {
            SqlValue::Text(text) => Ok(text),
            _ => Err(StoreError::Column { column: index, expected: "a text" }),
        }
    }

    /// Column `index` as borrowed bytes.
    ///
    /// # Errors
    /// [`StoreError::Column`] when it is not a blob.
    pub fn blob(&self, index: usize) -> Result<&[u8], StoreError> {
        match self.value(index)? {
            SqlValue::Blob(bytes) => Ok(bytes),
            _ => Err(StoreError::Column { column: index, expected: "a blob" }),
        }
    }

    /// Column `index`, a text, parsed: names, ARNs, ids.
    ///
    /// # Errors
    /// [`StoreError::Column`] when it is not a text or does not parse.
    pub fn parse<T: FromStr>(&self, index: usize) -> Result<T, StoreError> {
        self.text(index)?
            .parse()
            .map_err(|_| StoreError::Column { column: index, expected: std::any::type_name::<T>() })
    }

    /// As [`Row::parse`]; NULL gives `None`.
    ///
    /// # Errors
    /// As [`Row::parse`].
    pub fn parse_opt<T: FromStr>(&self, index: usize) -> Result<Option<T>, StoreError> {
        if self.value(index)? == SqlValue::Null { Ok(None) } else { self.parse(index).map(Some) }
    }

    fn value(&self, index: usize) -> Result<SqlValue<'_>, StoreError> {
        borrow(self.row.get_ref(index)?)
    }
}
