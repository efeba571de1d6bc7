//! A small HTTP server of a test: an upstream that says what it was sent, or what stands between an edge and its origin.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of a request's head at most.
const MAX_HEAD: usize = 64 << 10;

/// A server that ends when it is dropped.
pub struct HttpServer {
    /// Where it answers.
    pub url: String,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Answers each request without a body by its head. None: never.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn start<F>(answer: impl Fn(String) -> F + Clone + Send + Sync + 'static) -> Result<Self>
    where
        F: Future<Output = Option<(u16, Vec<u8>)>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move { serve(stream, answer).await });
            }
        });
        Ok(Self { url, task })
    }

    /// An upstream that answers with the head of the request.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn echo() -> Result<Self> {
        Self::start(|head| async move { Some((200, head.into_bytes())) }).await
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<F>(mut stream: TcpStream, answer: impl Fn(String) -> F) -> Result<()>
where
    F: Future<Output = Option<(u16, Vec<u8>)>>,
{
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < MAX_HEAD, "a head without an end");
            head.push(stream.read_u8().await?);
        }
        let Some((status, body)) = answer(String::from_utf8(head)?).await else { return pending().await };
        stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).await?;
        stream.write_all(&body).await?;
    }
}

/// What the way from an edge to its origin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Questions and answers pass, and the last answer that brought deltas is recorded.
    Open,
    /// Each question for deltas gets the recorded answer.
    Recorded,
    /// Connections are accepted, and nothing comes: as of an origin that was stopped.
    Silent,
}

/// A proxy before an origin that can do it harm.
pub struct Between {
    /// The server that edges are to take for the origin.
    pub server: HttpServer,
    state: Arc<Mutex<(Way, Vec<u8>, usize)>>,
}

impl Between {
    /// A way to the origin at `origin`, open at first.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn start(origin: &str) -> Result<Self> {
        let state = Arc::new(Mutex::new((Way::Open, Vec::new(), 0)));
        let (origin, shared) = (origin.to_owned(), Arc::clone(&state));
        let server = HttpServer::start(move |head| pass(head, origin.clone(), Arc::clone(&shared))).await?;
        Ok(Self { server, state })
    }

    /// From now on the way does this.
    pub fn set(&self, way: Way) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = way;
    }

    /// Requests that came so far.
    pub fn requests(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).2
    }
}

async fn pass(head: String, origin: String, state: Arc<Mutex<(Way, Vec<u8>, usize)>>) -> Option<(u16, Vec<u8>)> {
    let target = head.split(' ').nth(1)?;
    let is_deltas = target.starts_with("/edge/v1/deltas");
    let (way, recorded) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.2 += 1;
        (state.0, state.1.clone())
    };
    match way {
        Way::Silent => None,
        Way::Recorded if is_deltas => Some((200, recorded)),
        Way::Open | Way::Recorded => {
            let answer = reqwest::get(format!("{origin}{target}")).await.ok()?;
            let (status, body) = (answer.status().as_u16(), answer.bytes().await.ok()?.to_vec());
            if !is_deltas {
                return Some((status, body));
            }
            // The question may have waited at the origin until after the way was changed.
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match state.0 {
                Way::Silent => return None,
                Way::Recorded => return Some((200, state.1.clone())),
                Way::Open if status == 200 => state.1.clone_from(&body),
                Way::Open => {}
            }
            Some((status, body))
        }
    }
}
