//! Totals that registered edges report of their work.
//!
//! Each run of an edge counts from 0, so there is a row for each run, and the totals of an edge are
//! the sum of its rows: they never go back. A report that is lost, repeated or late changes nothing
//! but how soon the totals are seen.

use std::collections::BTreeMap;

use tollgate_core::{EdgeReport, EdgeTotals};
use tollgate_model::{EdgeActivity, EdgeName, Malformed};

use crate::database::Tx;
use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// Rows of an edge with a run of their own. Each isolate or hub at Cloudflare is a run.
const MAX_RUNS: usize = 128;
/// A run that is silent for this long may be added to the sum of old runs, if there is no room for
/// a new one. Longer than the time for which a signed request is accepted: a repeated report of the
/// run cannot be counted again.
const RUN_EXPIRY_MS: u64 = 600_000;
/// A run whose newest report is older than this, before the edge's newest, has no open streams.
const OPEN_STREAMS_EXPIRY_MS: u64 = 60_000;
/// The run of the row that sums up old runs.
const OLD_RUNS: &str = "";

#[derive(sqlx_macros::FromRow)]
struct RunRow {
    edge: String,
    run: String,
    totals: String,
    reported_at_ms: i64,
}

/// A row of a run.
struct Run {
    run: String,
    totals: EdgeTotals,
    reported_at_ms: u64,
}

impl RunRow {
    fn read(self) -> Result<(EdgeName, Run), StoreError> {
        let corrupt = StoreError::corrupt("edge_reports");
        let totals =
            EdgeTotals::parse(&self.totals).ok_or_else(|| corrupt(Malformed::new("totals", "are not totals")))?;
        let run = Run { run: self.run, totals, reported_at_ms: from_sql(self.reported_at_ms) };
        Ok((self.edge.parse().map_err(&corrupt)?, run))
    }
}

impl Store {
    /// What the registered edges reported, by name. Edges that never did are absent.
    pub async fn list_edge_activity(&self) -> Result<BTreeMap<EdgeName, EdgeActivity>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, RunRow>(
                "SELECT edge, run, totals, reported_at_ms FROM edge_reports
                 JOIN edges ON edges.name = edge AND edges.created_at = number",
            )
            .fetch_all(connection)
            .await?
        });
        let mut runs = BTreeMap::<EdgeName, Vec<Run>>::new();
        for row in rows {
            let (edge, run) = row.read()?;
            runs.entry(edge).or_default().push(run);
        }
        Ok(runs.into_iter().map(|(edge, runs)| (edge, activity(&runs))).collect())
    }
}

/// The sum of an edge's runs.
fn activity(runs: &[Run]) -> EdgeActivity {
    let reported_at_ms = runs.iter().map(|run| run.reported_at_ms).max().unwrap_or_default();
    let mut activity = EdgeActivity { totals: EdgeTotals::default(), reported_at_ms, open_streams: 0 };
    for run in runs {
        activity.totals.merge(&run.totals);
        if run.run != OLD_RUNS && run.reported_at_ms + OPEN_STREAMS_EXPIRY_MS >= reported_at_ms {
            activity.open_streams += run.totals.open_streams();
        }
    }
    activity
}

impl Tx {
    /// Records the report of an edge. The caller has locked the edge's row by an update, so that
    /// origins do not record reports of one edge at the same time.
    pub(super) async fn record_edge_report(
        &mut self,
        name: &EdgeName,
        number: u64,
        report: &EdgeReport,
        at_ms: u64,
    ) -> Result<(), StoreError> {
        let id = format!("{:016x}", report.run);
        let runs = self.list_runs(name, number).await?;
        let mut new = Run { run: id, totals: report.totals, reported_at_ms: at_ms };
        if let Some(known) = runs.iter().find(|known| known.run == new.run) {
            new.totals.take_higher(&known.totals);
            new.reported_at_ms = at_ms.max(known.reported_at_ms);
        } else if runs.len() >= MAX_RUNS && !self.sum_up_old_runs(name, number, runs, at_ms).await? {
            return Ok(()); // while all of so many runs are alive, another one is not recorded
        }
        self.put_run(name, number, &new).await
    }

    /// Adds the runs that ended long ago to the sum of old runs. Returns whether there is room for
    /// another run.
    async fn sum_up_old_runs(
        &mut self,
        name: &EdgeName,
        number: u64,
        runs: Vec<Run>,
        at_ms: u64,
    ) -> Result<bool, StoreError> {
        let is_old = |run: &Run| run.run == OLD_RUNS || run.reported_at_ms + RUN_EXPIRY_MS < at_ms;
        let (old, alive): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(is_old);
        let mut sum = Run { run: OLD_RUNS.to_owned(), totals: EdgeTotals::default(), reported_at_ms: 0 };
        for run in &old {
            sum.totals.merge(&run.totals);
            sum.reported_at_ms = sum.reported_at_ms.max(run.reported_at_ms);
            self.delete_run(name, number, &run.run).await?;
        }
        if !old.is_empty() {
            self.put_run(name, number, &sum).await?;
        }
        Ok(alive.len() + 1 < MAX_RUNS)
    }

    async fn list_runs(&mut self, name: &EdgeName, number: u64) -> Result<Vec<Run>, StoreError> {
        let rows = with_connection!(&mut *self, connection => {
            sqlx::query_as::<_, RunRow>(
                "SELECT edge, run, totals, reported_at_ms FROM edge_reports WHERE edge = $1 AND number = $2",
            )
            .bind(name.as_str())
            .bind(to_sql(number))
            .fetch_all(connection)
            .await?
        });
        rows.into_iter().map(|row| Ok(row.read()?.1)).collect()
    }

    async fn delete_run(&mut self, name: &EdgeName, number: u64, run: &str) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query("DELETE FROM edge_reports WHERE edge = $1 AND number = $2 AND run = $3")
                .bind(name.as_str())
                .bind(to_sql(number))
                .bind(run)
                .execute(connection)
                .await?;
        });
        Ok(())
    }

    /// Writes the row of a run, if the registration exists.
    async fn put_run(&mut self, name: &EdgeName, number: u64, run: &Run) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO edge_reports (edge, number, run, totals, reported_at_ms)
                 SELECT name, created_at, $3, $4, $5 FROM edges WHERE name = $1 AND created_at = $2
                 ON CONFLICT (edge, number, run)
                 DO UPDATE SET totals = excluded.totals, reported_at_ms = excluded.reported_at_ms",
            )
            .bind(name.as_str())
            .bind(to_sql(number))
            .bind(run.run.as_str())
            .bind(run.totals.to_string())
            .bind(to_sql(run.reported_at_ms))
            .execute(connection)
            .await?;
        });
        Ok(())
    }

    /// Deletes the reports of all registrations of a name.
    pub(super) async fn delete_edge_reports(&mut self, name: &EdgeName) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query("DELETE FROM edge_reports WHERE edge = $1").bind(name.as_str()).execute(connection).await?;
        });
        Ok(())
    }
}
