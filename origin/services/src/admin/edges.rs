//! The registered edges.

use tollgate_model::{Actor, Edge, EdgeName, EdgeView};
use tollgate_storage::StoreError;

use super::{AdminError, Registry};

impl Registry {
    /// The newest sequence number of the revocation log, and the registered edges by name. There is
    /// no number before the first start of a server.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_edges(&self) -> Result<(Option<u64>, Vec<EdgeView>), AdminError> {
        let newest = self.newest_sequence().await?;
        let (edges, activity) = (self.store.list_edges().await?, self.store.list_edge_activity().await?);
        let view = |edge: &Edge| EdgeView::new(edge, newest, activity.get(&edge.name));
        Ok((newest, edges.iter().map(view).collect()))
    }

    /// The edge of this name.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn get_edge(&self, name: &EdgeName) -> Result<Edge, AdminError> {
        let edges = self.store.list_edges().await?;
        edges.into_iter().find(|edge| edge.name == *name).ok_or_else(|| AdminError::not_found("edge", name))
    }

    /// Registers an edge, to which changes are pushed from now on.
    ///
    /// # Errors
    /// When the name is taken, or the database fails.
    pub async fn create_edge(&self, by: &Actor, edge: &Edge) -> Result<EdgeView, AdminError> {
        self.store.with_actor(by).create_edge(edge).await?;
        tracing::info!(edge = %edge.name, by = by.as_str(), "registered an edge");
        Ok(EdgeView::new(edge, self.newest_sequence().await?, None))
    }

    /// Removes an edge: changes are no longer pushed to it.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn delete_edge(&self, by: &Actor, name: &EdgeName) -> Result<(), AdminError> {
        if !self.store.with_actor(by).delete_edge(name).await? {
            return Err(AdminError::not_found("edge", name));
        }
        tracing::info!(edge = %name, by = by.as_str(), "removed an edge");
        Ok(())
    }

    async fn newest_sequence(&self) -> Result<Option<u64>, AdminError> {
        match self.store.get_feed_head().await {
            Ok(head) => Ok(Some(head.sequence)),
            Err(StoreError::NoIssuer) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
