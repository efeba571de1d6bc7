//! Statistics of a store's connections.

use std::time::Duration;

use crate::database::statistics::{PoolStatistics, Use};
use crate::store::{Pools, Store};

impl Store {
    /// Warns in the log of each statement that takes this long; of none without a duration.
    pub fn warn_of_slow_statements(&self, from: Option<Duration>) {
        self.availability.statistics.warn_of_slow_statements(from);
    }

    /// Number of slow statements since the start.
    #[must_use]
    pub fn slow_statement_count(&self) -> u64 {
        self.availability.statistics.slow_statement_count()
    }

    /// Whether the database can be read, as far as known. SQLite, a file, always counts as such.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.availability.is_up()
    }

    /// Statistics of the connections that read, and of those that write.
    #[must_use]
    pub fn pool_statistics(&self) -> [PoolStatistics; 2] {
        let statistics = &self.availability.statistics;
        match &self.pools {
            Pools::Sqlite { read, write } => {
                [statistics.of_pool(read, Use::Read), statistics.of_pool(write, Use::Write)]
            }
            Pools::Postgres { read, write } => {
                [statistics.of_pool(read, Use::Read), statistics.of_pool(write, Use::Write)]
            }
        }
    }
}
