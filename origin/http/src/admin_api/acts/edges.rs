//! How far the registered edges have come.

use tollgate_model::EdgeView;

use crate::App;
use crate::problem::Problem;

/// The newest sequence of the history, and the edges by name.
pub(crate) async fn list(app: &App) -> Result<(u64, Vec<EdgeView>), Problem> {
    let newest = app.store.get_feed_head().await?.sequence;
    let edges = app.store.list_edges().await?;
    Ok((newest, edges.iter().map(|edge| EdgeView::new(edge, Some(newest))).collect()))
}
