//! A TCP proxy before a database that misbehaves as networks do: it swallows what living connections say, or is away.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::io::{copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinHandle;

/// A proxy at a fixed address.
pub struct DatabaseProxy {
    address: SocketAddr,
    server: String,
    /// Counts how often all connections fell silent.
    silences: Arc<Sender<u64>>,
    accepting: Option<JoinHandle<()>>,
}

impl DatabaseProxy {
    /// A proxy before the server at this `host:port`.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn start(server: &str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut proxy = Self {
            address: listener.local_addr()?,
            server: server.to_owned(),
            silences: Arc::new(Sender::new(0)),
            accepting: None,
        };
        proxy.accept(listener);
        Ok(proxy)
    }

    /// A proxy before the server of a database; and the URL of the database behind it.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn before(database_url: &str) -> Result<(Self, String)> {
        let address = database_url.split(['@', '/']).nth(3).context("a URL with a user")?;
        let proxy = Self::start(address).await?;
        let url = database_url.replace(address, &proxy.address.to_string());
        Ok((proxy, url))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on swallows what the connections of before say, and what they are told. New ones work.
    pub fn swallow(&self) {
        self.silences.send_modify(|count| *count += 1);
    }

    /// Ends all connections and refuses new ones.
    pub async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // The listener is closed when it has ended.
            let _ = accepting.await;
        }
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// When the address was taken meanwhile.
    pub async fn start_again(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.accept(listener);
        Ok(())
    }

    fn accept(&mut self, listener: TcpListener) {
        let (server, silent) = (self.server.clone(), Arc::clone(&self.silences));
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // What was said of those before does not hold for this one.
                let mut silenced = silent.subscribe();
                silenced.mark_unchanged();
                connections.spawn(carry(client, server.clone(), silenced));
            }
        }));
    }
}

async fn carry(mut client: TcpStream, server: String, mut silenced: Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = silenced.changed() => {
            // Both stay open. What the client says is taken, and answered by nothing.
            let (mut said, _unused) = client.split();
            let _ = copy(&mut said, &mut sink()).await;
        }
    }
}
