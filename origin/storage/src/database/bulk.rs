//! Statements about many rows: their bounds, and the padding that keeps the number of prepared
//! statements small.

use std::iter;

use sqlx::query_builder::Separated;
use sqlx::{Database, Postgres, Sqlite};

/// Maximum rows per statement.
pub(crate) const MAX_ROWS_PER_STATEMENT: usize = 256;

/// Splits rows into chunks of one statement each.
pub(crate) fn statement_chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    rows.chunks(MAX_ROWS_PER_STATEMENT)
}

/// One column of the rows, to be bound as an array.
pub(crate) fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Number of rows in the statement that is prepared for this many: the next power of two.
pub(crate) const fn padded_len(rows: usize) -> usize {
    rows.next_power_of_two()
}

/// The rows, followed by `None` up to [`padded_len`].
pub(crate) fn padded<T>(rows: &[T]) -> impl Iterator<Item = Option<&T>> {
    rows.iter().map(Some).chain(iter::repeat(None)).take(padded_len(rows.len()))
}

/// The rows, the last one repeated up to [`padded_len`]: for lists in which duplicates do not
/// matter.
pub(crate) fn padded_with_last<T>(rows: &[T]) -> impl Iterator<Item = &T> {
    padded(rows).filter_map(|row| row.or(rows.last()))
}

/// SQL text of a null. On SQLite it is a parameter that is never bound, so that all rows have one
/// text.
pub(crate) trait NullLiteral: Database {
    const NULL: &'static str;
}

impl NullLiteral for Sqlite {
    const NULL: &'static str = "?";
}

impl NullLiteral for Postgres {
    const NULL: &'static str = "NULL";
}

pub(crate) fn push_null<D: NullLiteral>(row: &mut Separated<'_, D, &'static str>) {
    row.push(D::NULL);
}
