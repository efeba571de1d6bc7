//! SQLite statements about many rows, prepared once per row count.
//!
//! SQLite finds a prepared statement by its text, and preparing one for hundreds of rows takes
//! longer than running it. So texts exist for a few row counts only, the powers of two, and the
//! smallest that fits is used. The parameters of the padding rows are not bound and thus null,
//! which costs next to nothing. PostgreSQL gets arrays instead.

use std::sync::{Arc, OnceLock};

use sqlx::error::BoxDynError;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Type};

use crate::database::bulk::{MAX_ROWS_PER_STATEMENT, padded_len};

/// Number of texts per statement: one per power of two up to [`MAX_ROWS_PER_STATEMENT`].
const TEXTS: usize = MAX_ROWS_PER_STATEMENT.ilog2() as usize + 1;

/// A statement about a table of rows. It must skip rows of nulls.
pub(crate) struct BulkStatement {
    before: &'static str,
    columns: usize,
    after: &'static str,
    texts: [OnceLock<Arc<str>>; TEXTS],
}

impl BulkStatement {
    /// The statement `before (VALUES …) after` with rows of `columns` columns. `before` may have
    /// parameters, `after` may not.
    pub(crate) const fn new(before: &'static str, columns: usize, after: &'static str) -> BulkStatement {
        BulkStatement { before, columns, after, texts: [const { OnceLock::new() }; TEXTS] }
    }

    /// The query for this many rows, at most [`MAX_ROWS_PER_STATEMENT`].
    pub(crate) fn query(
        &self,
        rows: usize,
        values: PaddedValues,
    ) -> Result<Query<'static, Sqlite, SqliteArguments>, sqlx::Error> {
        let arguments = values.arguments.map_err(sqlx::Error::Encode)?;
        Ok(sqlx::query_with(AssertSqlSafe(self.text(padded_len(rows))), arguments))
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let row = || format!("({})", vec!["?"; self.columns].join(", "));
        let text = || format!("{} (VALUES {}) {}", self.before, vec![row(); rows].join(", "), self.after).into();
        self.texts.get(rows.ilog2() as usize).map_or_else(text, |cached| Arc::clone(cached.get_or_init(text)))
    }
}

/// The bound values, in order: the parameters before the rows, then row by row. Padding rows get
/// none.
pub(crate) struct PaddedValues {
    arguments: Result<SqliteArguments, BoxDynError>,
    /// Texts of the previous row, replaced one by one by those of the current row. A text that
    /// equals the previous row's is shared, not copied.
    texts: Vec<Arc<str>>,
    next_text: usize,
}

impl PaddedValues {
    pub(crate) fn new() -> PaddedValues {
        PaddedValues { arguments: Ok(SqliteArguments::default()), texts: Vec::new(), next_text: 0 }
    }

    pub(crate) fn begin_row(&mut self) -> &mut PaddedValues {
        self.next_text = 0;
        self
    }

    /// Binds a text that is likely the same in other rows.
    pub(crate) fn bind_text(&mut self, text: &str) -> &mut PaddedValues {
        let shared = match self.texts.get_mut(self.next_text) {
            Some(previous) if **previous == *text => Arc::clone(previous),
            previous => {
                let text: Arc<str> = text.into();
                match previous {
                    Some(previous) => previous.clone_from(&text),
                    None => self.texts.push(Arc::clone(&text)),
                }
                text
            }
        };
        self.next_text += 1;
        self.bind(shared)
    }

    /// Binds any other value.
    pub(crate) fn bind<'v, V: Encode<'v, Sqlite> + Type<Sqlite>>(&mut self, value: V) -> &mut PaddedValues {
        if let Ok(arguments) = &mut self.arguments
            && let Err(error) = arguments.add(value)
        {
            self.arguments = Err(error);
        }
        self
    }
}
