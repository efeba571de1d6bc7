//! An HTTP proxy between edges and their origin that can replay answers or fall silent.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::http_server::HttpServer;

/// What the proxy does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// Forwards requests and responses, and records the last response with deltas.
    Forward,
    /// Answers requests for deltas with the recorded response; forwards others.
    Replay,
    /// Accepts connections and never answers, as a suspended origin.
    Silent,
    /// Forwards until it has answered a request for a snapshot, then falls silent.
    SilentAfterSnapshot,
}

/// HTTP proxy in front of an origin.
pub struct ReplayProxy {
    /// The server whose URL edges are configured with.
    pub server: HttpServer,
    state: Arc<Mutex<(ProxyMode, Vec<u8>, usize)>>,
}

impl ReplayProxy {
    /// Starts a proxy in front of the origin at `origin`, forwarding.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(origin: &str) -> Result<Self> {
        let state = Arc::new(Mutex::new((ProxyMode::Forward, Vec::new(), 0)));
        let (origin, shared) = (origin.to_owned(), Arc::clone(&state));
        let server = HttpServer::start(move |head| pass(head, origin.clone(), Arc::clone(&shared))).await?;
        Ok(Self { server, state })
    }

    /// Switches the mode.
    pub fn set(&self, mode: ProxyMode) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = mode;
    }

    /// Number of requests received so far.
    pub fn requests(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).2
    }
}

async fn pass(head: String, origin: String, state: Arc<Mutex<(ProxyMode, Vec<u8>, usize)>>) -> Option<(u16, Vec<u8>)> {
    let target = head.split(' ').nth(1)?;
    let is_deltas = target.starts_with("/edge/v1/deltas");
    let (mode, recorded) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.2 += 1;
        (state.0, state.1.clone())
    };
    match mode {
        ProxyMode::Silent => None,
        ProxyMode::Replay if is_deltas => Some((200, recorded)),
        ProxyMode::Forward | ProxyMode::Replay | ProxyMode::SilentAfterSnapshot => {
            let answer = reqwest::get(format!("{origin}{target}")).await.ok()?;
            let (status, body) = (answer.status().as_u16(), answer.bytes().await.ok()?.to_vec());
            if !is_deltas {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.0 == ProxyMode::SilentAfterSnapshot {
                    state.0 = ProxyMode::Silent;
                }
                return Some((status, body));
            }
            // The request may have waited at the origin until after the mode was switched.
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match state.0 {
                ProxyMode::Silent => return None,
                ProxyMode::Replay => return Some((200, state.1.clone())),
                ProxyMode::Forward if status == 200 => state.1.clone_from(&body),
                ProxyMode::Forward | ProxyMode::SilentAfterSnapshot => {}
            }
            Some((status, body))
        }
    }
}
