//! Values on their way into a statement and out of a row.

use rusqlite::types::{ToSqlOutput, ValueRef};

use marram_types::{
    AccountId, Arn, AttributeKey, AttributeValue, BillingGroupName, CertificateId, ClientId, GroupName, JobId,
    Partition, PolicyName, ProvisioningTemplateName, Region, RequestId, RoleAliasName, RuleName, ShadowName, ThingName,
    ThingTypeName, Timestamp,
};

use crate::error::StoreError;

/// A value bound to a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlValue<'a> {
    /// SQL NULL.
    Null,
    /// BIGINT; booleans are 0 and 1, moments are microseconds.
    Integer(i64),
    /// TEXT, borrowed.
    Text(&'a str),
    /// TEXT made for this statement.
    OwnedText(String),
    /// BLOB.
    Blob(&'a [u8]),
}

impl rusqlite::ToSql for SqlValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::OwnedText(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What can be bound to a placeholder; see [`params!`](crate::params).
pub trait ToSqlValue {
    /// The value as the engine takes it.
    fn to_sql_value(&self) -> SqlValue<'_>;
}

/// The values of `$1`, `$2`, ..: `tx.execute(sql, params![account, name, now])`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::ToSqlValue::to_sql_value(&$value)),*] };
}

impl<T: ToSqlValue + ?Sized> ToSqlValue for &T {
    fn to_sql_value(&self) -> SqlValue<'_> {
        (**self).to_sql_value()
    }
}

impl<T: ToSqlValue> ToSqlValue for Option<T> {
    fn to_sql_value(&self) -> SqlValue<'_> {
        self.as_ref().map_or(SqlValue::Null, T::to_sql_value)
    }
}

impl ToSqlValue for SqlValue<'_> {
    fn to_sql_value(&self) -> SqlValue<'_> {
        match self {
            SqlValue::Null => SqlValue::Null,
            SqlValue::Integer(number) => SqlValue::Integer(*number),
            SqlValue::Text(text) => SqlValue::Text(text),
            SqlValue::OwnedText(text) => SqlValue::Text(text),
            SqlValue::Blob(bytes) => SqlValue::Blob(bytes),
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl ToSqlValue for $type {
            fn to_sql_value(&self) -> SqlValue<'_> {
                SqlValue::Integer(i64::from(*self))
            }
        }
    )*};
}
integers!(i64, i32, u32, u16, u8, bool);

impl ToSqlValue for Timestamp {
    fn to_sql_value(&self) -> SqlValue<'_> {
        SqlValue::Integer(self.as_micros())
    }
}

macro_rules! texts {
    ($($type:ty),*) => {$(
        impl ToSqlValue for $type {
            fn to_sql_value(&self) -> SqlValue<'_> {
                SqlValue::Text(self.as_ref())
            }
        }
    )*};
}
texts!(
    str,
    String,
    AccountId,
    Region,
    Partition,
    Arn,
    ThingName,
    GroupName,
    ThingTypeName,
    BillingGroupName,
    PolicyName,
    RoleAliasName,
    ProvisioningTemplateName,
    JobId,
    RuleName,
    AttributeKey,
    AttributeValue,
    ShadowName,
    ClientId
);

impl ToSqlValue for smol_str::SmolStr {
    fn to_sql_value(&self) -> SqlValue<'_> {
        SqlValue::Text(self)
    }
}

macro_rules! printed {
    ($($type:ty),*) => {$(
        impl ToSqlValue for $type {
            fn to_sql_value(&self) -> SqlValue<'_> {
                SqlValue::OwnedText(self.to_string())
            }
        }
    )*};
}
printed!(CertificateId, RequestId);

impl ToSqlValue for [u8] {
    fn to_sql_value(&self) -> SqlValue<'_> {
        SqlValue::Blob(self)
    }
}

impl<const N: usize> ToSqlValue for [u8; N] {
    fn to_sql_value(&self) -> SqlValue<'_> {
        SqlValue::Blob(self)
    }
}

impl ToSqlValue for Vec<u8> {
    fn to_sql_value(&self) -> SqlValue<'_> {
        SqlValue::Blob(self)
    }
}

/// What a column can be read as; see [`Row::get`](crate::Row::get).
pub trait FromColumn: Sized {
    /// What the error says was expected: `an integer`.
    const EXPECTED: &'static str;

    /// The value, or `None` when the column holds something else.
    fn from_column(value: SqlValue<'_>) -> Option<Self>;
}

impl FromColumn for i64 {
    const EXPECTED: &'static str = "an integer";
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        if let SqlValue::Integer(number) = value { Some(number) } else { None }
    }
}

macro_rules! narrow_integers {
    ($($type:ty, $expected:literal);*) => {$(
        impl FromColumn for $type {
            const EXPECTED: &'static str = $expected;
            fn from_column(value: SqlValue<'_>) -> Option<Self> {
                i64::from_column(value).and_then(|number| Self::try_from(number).ok())
            }
        }
    )*};
}
narrow_integers!(i32, "a 32-bit integer"; u32, "an unsigned 32-bit integer"; u64, "an unsigned integer"; u16, "an unsigned 16-bit integer"; u8, "a byte");

impl FromColumn for bool {
    const EXPECTED: &'static str = "0 or 1";
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        match value {
            SqlValue::Integer(0) => Some(false),
            SqlValue::Integer(1) => Some(true),
            _ => None,
        }
    }
}

impl FromColumn for Timestamp {
    const EXPECTED: &'static str = "microseconds";
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        i64::from_column(value).map(Self::from_micros)
    }
}

impl FromColumn for String {
    const EXPECTED: &'static str = "a text";
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        if let SqlValue::Text(text) = value { Some(text.to_owned()) } else { None }
    }
}

impl FromColumn for smol_str::SmolStr {
    const EXPECTED: &'static str = "a text";
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        if let SqlValue::Text(text) = value { Some(Self::new(text)) } else { None }
    }
}

impl FromColumn for Vec<u8> {
    const EXPECTED: &'static str = "a blob";
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        if let SqlValue::Blob(bytes) = value { Some(bytes.to_vec()) } else { None }
    }
}

impl<const N: usize> FromColumn for [u8; N] {
    const EXPECTED: &'static str = "a blob of the fixed length";
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        if let SqlValue::Blob(bytes) = value { bytes.try_into().ok() } else { None }
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn from_column(value: SqlValue<'_>) -> Option<Self> {
        if value == SqlValue::Null { Some(None) } else { T::from_column(value).map(Some) }
    }
}

pub(crate) fn borrow(value: ValueRef<'_>) -> Result<SqlValue<'_>, StoreError> {
    Ok(match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Text(bytes) => SqlValue::Text(
            std::str::from_utf8(bytes).map_err(|_| StoreError::Corrupt("a text column is not UTF-8".to_owned()))?,
        ),
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes),
        ValueRef::Real(_) => return Err(StoreError::Statement("floating point columns are not used".to_owned())),
    })
}
