//! A TCP proxy in front of a database: it can swallow the traffic of open connections, or be down.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::io::{copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinHandle;

/// TCP proxy at a fixed address.
pub struct DatabaseProxy {
    address: SocketAddr,
    server: String,
    /// Incremented each time the open connections are silenced.
    silences: Arc<Sender<u64>>,
    accepting: Option<JoinHandle<()>>,
}

impl DatabaseProxy {
    /// Starts a proxy in front of the server at this `host:port`.
    ///
    /// # Errors
    /// If no port is free.
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

    /// Starts a proxy in front of a database's server, and returns the database's URL through the
    /// proxy.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn for_database(database_url: &str) -> Result<(Self, String)> {
        let address = database_url.split(['@', '/']).nth(3).context("a URL with a user name")?;
        let proxy = Self::start(address).await?;
        let url = database_url.replace(address, &proxy.address.to_string());
        Ok((proxy, url))
    }

    /// Address that the proxy listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Silences the open connections: their traffic is swallowed in both directions. New ones work.
    pub fn silence_connections(&self) {
        self.silences.send_modify(|count| *count += 1);
    }

    /// Closes all connections and refuses new ones.
    pub async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // The listener is closed once the task has ended.
            let _ = accepting.await;
        }
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// If the address is in use.
    pub async fn restart(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.accept(listener);
        Ok(())
    }

    fn accept(&mut self, listener: TcpListener) {
        let (server, silent) = (self.server.clone(), Arc::clone(&self.silences));
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // Earlier silences do not apply to this connection.
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
            // Both connections stay open. What the client sends is read and never answered.
            let (mut said, _unused) = client.split();
            let _ = copy(&mut said, &mut sink()).await;
        }
    }
}
