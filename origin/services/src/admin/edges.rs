//! The registered edges.

use tollgate_model::EdgeView;

use super::{AdminError, Registry};

impl Registry {
    /// The newest sequence number of the revocation log, and the registered edges by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_edges(&self) -> Result<(u64, Vec<EdgeView>), AdminError> {
        let newest = self.store.get_feed_head().await?.sequence;
        let edges = self.store.list_edges().await?;
        Ok((newest, edges.iter().map(|edge| EdgeView::new(edge, Some(newest))).collect()))
    }
}
