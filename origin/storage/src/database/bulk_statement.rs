//! Statements about rows that are given, as many as come together, for SQLite.
//!
//! SQLite finds a prepared statement by its text, and to prepare one for hundreds of rows takes longer than to run it. So there are texts for
//! few numbers of rows, each made once, and the least that has room is taken. What is not bound is null there: the rows that nobody gave
//! cost next to nothing. PostgreSQL is given arrays.

use std::sync::{Arc, OnceLock};

use sqlx::error::BoxDynError;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Type};

use crate::database::bulk::{MAX_ROWS_PER_STATEMENT, padded_len};

/// How many numbers of rows there are texts for: the powers of two up to [`MAX_ROWS_PER_STATEMENT`].
const SIZES: usize = MAX_ROWS_PER_STATEMENT.ilog2() as usize + 1;

/// A statement about a table of rows. It must pass over rows of nulls.
pub(crate) struct BulkStatement {
    before: &'static str,
    columns: usize,
    after: &'static str,
    texts: [OnceLock<Arc<str>>; SIZES],
}

impl BulkStatement {
    /// The statement `before (VALUES …) after`, with rows of `columns` columns, and parameters before them but none after.
    pub(crate) const fn new(before: &'static str, columns: usize, after: &'static str) -> BulkStatement {
        BulkStatement { before, columns, after, texts: [const { OnceLock::new() }; SIZES] }
    }

    /// The statement about this many rows, [`MAX_ROWS_PER_STATEMENT`] at most.
    pub(crate) fn query(
        &self,
        rows: usize,
        parameters: PaddedValues,
    ) -> Result<Query<'static, Sqlite, SqliteArguments>, sqlx::Error> {
        let all = parameters.all.map_err(sqlx::Error::Encode)?;
        Ok(sqlx::query_with(AssertSqlSafe(self.text(padded_len(rows))), all))
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let row = || format!("({})", vec!["?"; self.columns].join(", "));
        let text = || format!("{} (VALUES {}) {}", self.before, vec![row(); rows].join(", "), self.after).into();
        self.texts.get(rows.ilog2() as usize).map_or_else(text, |kept| Arc::clone(kept.get_or_init(text)))
    }
}

/// What is bound, in order: the parameters before the rows, then row by row.
pub(crate) struct PaddedValues {
    all: Result<SqliteArguments, BoxDynError>,
    /// The texts of the row before, and those of this one as far as it has come. One and the same is not copied for every row.
    texts: Vec<Arc<str>>,
    at: usize,
}

impl PaddedValues {
    /// Nothing yet.
    pub(crate) fn new() -> PaddedValues {
        PaddedValues { all: Ok(SqliteArguments::default()), texts: Vec::new(), at: 0 }
    }

    /// Begins a row.
    pub(crate) fn row(&mut self) -> &mut PaddedValues {
        self.at = 0;
        self
    }

    /// Binds a text that other rows are likely to have, too.
    pub(crate) fn text(&mut self, text: &str) -> &mut PaddedValues {
        let shared = match self.texts.get_mut(self.at) {
            Some(before) if **before == *text => Arc::clone(before),
            before => {
                let text: Arc<str> = text.into();
                match before {
                    Some(before) => before.clone_from(&text),
                    None => self.texts.push(Arc::clone(&text)),
                }
                text
            }
        };
        self.at += 1;
        self.bind(shared)
    }

    /// Binds anything else.
    pub(crate) fn bind<'v, V: Encode<'v, Sqlite> + Type<Sqlite>>(&mut self, value: V) -> &mut PaddedValues {
        if let Ok(all) = &mut self.all
            && let Err(error) = all.add(value)
        {
            self.all = Err(error);
        }
        self
    }
}
