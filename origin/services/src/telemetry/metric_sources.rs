//! The metrics of all issuers of a process, for what reads them together: the export, and profiles.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::metric::Metric;

/// Reads the metrics of an issuer.
pub trait MetricSource: Send + Sync {
    fn read(&self) -> Pin<Box<dyn Future<Output = Vec<Metric>> + Send + '_>>;
}

/// An issuer and the source of its metrics.
type IssuerSource = (String, Weak<dyn MetricSource>);

/// Issuers and the sources of their metrics. Clones share them.
#[derive(Clone, Default)]
pub struct MetricSources(Arc<Mutex<Vec<IssuerSource>>>);

impl MetricSources {
    /// Adds an issuer. It counts for as long as the source exists.
    pub fn add(&self, issuer: &str, source: Weak<dyn MetricSource>) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|(_, source)| source.strong_count() > 0);
        sources.push((issuer.to_owned(), source));
    }

    /// The current metrics of each issuer.
    pub(super) async fn read(&self) -> Vec<(String, Vec<Metric>)> {
        let mut metrics = Vec::new();
        for (issuer, source) in self.living() {
            metrics.push((issuer, source.read().await));
        }
        metrics
    }

    fn living(&self) -> Vec<(String, Arc<dyn MetricSource>)> {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().filter_map(|(issuer, source)| Some((issuer.clone(), source.upgrade()?))).collect()
    }
}
