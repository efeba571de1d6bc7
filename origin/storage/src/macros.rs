//! Macros that run one statement on either database.

/// Runs an expression with the connection of whichever database is open, under supervision: see
/// [`pooled_connection`](crate::database::pooled_connection).
macro_rules! with_connection {
    ($database:expr, $connection:ident => $body:expr) => {
        match $database {
            $crate::database::Either::Sqlite(handle) => supervised!(handle, $connection => $body),
            $crate::database::Either::Postgres(handle) => supervised!(handle, $connection => $body),
        }
    };
}

/// Runs an expression with a connection of one database, under supervision.
macro_rules! supervised {
    ($handle:expr, $connection:ident => $body:expr) => {{
        let ($connection, supervisor) = $handle.parts()?;
        let work = async { Ok::<_, $crate::error::StoreError>($body) };
        supervisor.run(concat!(module_path!(), ":", line!()), work).await?
    }};
}

/// Builds `INSERT INTO table (columns)` for many rows. The first column must never be null.
///
/// The rows are padded with rows of nulls to one of few row counts, so that the database prepares
/// few statements; the statement skips those rows by their first column. More text may be appended,
/// but no parameter: SQLite would bind it to a padding row.
macro_rules! build_insert {
    ($sql:literal, $rows:expr, |$binder:ident, $row:pat_param| $bind:expr) => {{
        let columns = $sql.split(',').count();
        let mut query = sqlx::QueryBuilder::new(concat!($sql, " SELECT * FROM ("));
        query.push_values($crate::database::bulk::padded($rows), |mut $binder, row| match row {
            Some($row) => {
                $bind;
            }
            None => (0..columns).for_each(|_| $crate::database::bulk::push_null(&mut $binder)),
        });
        query.push(") AS new_rows WHERE column1 IS NOT NULL");
        query
    }};
}

/// Inserts rows, many per statement: `$sql`, the rows, `$tail`.
macro_rules! insert_rows {
    ($tx:expr, $sql:literal, $tail:literal, $rows:expr, |$binder:ident, $row:pat_param| $bind:expr) => {
        for rows in $crate::database::bulk::statement_chunks($rows) {
            with_connection!(&mut *$tx, connection => {
                build_insert!($sql, rows, |$binder, $row| $bind).push($tail).build().execute(connection).await?;
            });
        }
    };
}
