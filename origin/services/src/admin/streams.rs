//! The streams of security events.

use tollgate_model::Actor;
use tollgate_model::event_stream::{Stream, StreamName};

use super::{AdminError, Registry};

impl Registry {
    /// All streams, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_streams(&self) -> Result<Vec<Stream>, AdminError> {
        Ok(self.store.list_streams().await?)
    }

    /// Registers a stream and returns it with its number.
    ///
    /// # Errors
    /// [`AdminError::NotFound`] when its client does not exist, or when the name is taken or the
    /// database fails.
    pub async fn create_stream(&self, by: &Actor, stream: &Stream) -> Result<Stream, AdminError> {
        if let Some(client) = &stream.client {
            self.get_client(client.as_str()).await?;
        }
        let stream = self.store.with_actor(by).create_stream(stream).await?;
        tracing::info!(stream = %stream.name, by = by.as_str(), "registered a stream");
        Ok(stream)
    }

    /// Removes a stream.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn delete_stream(&self, by: &Actor, name: &StreamName) -> Result<(), AdminError> {
        if !self.store.with_actor(by).delete_stream(name).await? {
            return Err(AdminError::not_found("stream", name));
        }
        tracing::info!(stream = %name, by = by.as_str(), "removed a stream");
        Ok(())
    }
}
