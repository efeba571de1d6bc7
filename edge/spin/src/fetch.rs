//! Fetching from the origin: at most one fetch at a time, shared by every request that wants it, and outliving the
//! request that started it.

use crate::http::{self, BodyError};
use crate::state::{Edge, now_ms};
use spin_sdk::http::Response;
use spin_sdk::wasip3;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{Method, RequestOptions};
use spin_sdk::wasip3::random::random;
use std::rc::Rc;
use tollgate_gate::{MAX_FETCH_BYTES, Nonce, Question};

/// How long a request waits for a fetch before it is decided on what the gate holds, in nanoseconds.
const WAIT: u64 = 2_000_000_000;
/// How often a waiting request looks whether the fetch is over, in nanoseconds. It has to look: a task of the component
/// model cannot be woken by another one, only by the host.
const LOOK: u64 = 2_000_000;
/// Limit on connecting, on the first byte and on every pause of the origin's answer, in nanoseconds.
const TIMEOUT: u64 = 1_500_000_000;
/// What the gate asks when it wants a snapshot.
const SNAPSHOT: &str = "/edge/v1/snapshot";
/// Messages taken in one go: 4096 changes each, so more than any origin keeps.
const MOST_MESSAGES: usize = 16;

/// Starts a fetch unless one is under way, or one failed a moment ago. It runs on after the request that started it is answered.
/// True if it was started.
pub(crate) fn start(edge: &Rc<Edge>) -> bool {
    if edge.back_off.get().pause_ms(now_ms()) > 0 || edge.fetching.replace(true) {
        return false;
    }
    let running = Running(Rc::clone(edge));
    wasip3::spawn(async move {
        let is_well = fetch(&running.0).await;
        let (mut back_off, [chance, ..]) = (running.0.back_off.get(), random::get_random_u64().to_be_bytes());
        match is_well {
            true => back_off.succeeded(),
            false => back_off.failed(now_ms(), chance),
        }
        running.0.back_off.set(back_off);
    });
    true
}

/// Waits for the fetch under way, for [`WAIT`] at most. While the origin fails only the request that starts one waits.
pub(crate) async fn required(edge: &Rc<Edge>) {
    if !start(edge) && !edge.back_off.get().may_wait(now_ms()) {
        return;
    }
    let deadline = monotonic_clock::now().saturating_add(WAIT);
    while edge.fetching.get() && monotonic_clock::now() < deadline {
        monotonic_clock::wait_for(LOOK).await;
    }
}

/// A fetch under way; ends with it, even when its task is cancelled.
struct Running(Rc<Edge>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetching.set(false);
    }
}

/// Takes messages from the origin until the gate has no more to ask, and keeps a snapshot that came among them. True when
/// nothing went wrong.
async fn fetch(edge: &Edge) -> bool {
    for _ in 0..MOST_MESSAGES {
        let question = question();
        let target = edge.gate().next_fetch(0, &question);
        let url = format!("{}{target}", edge.gate().settings().origin);
        let (status, body) = match get(&url).await {
            Ok(answer) => answer,
            Err(why) => {
                eprintln!("tollgate: the origin cannot be asked: {why}");
                edge.gate_mut().fetch_failed(&why, now_ms());
                return false;
            }
        };
        let accepted = edge.gate_mut().accept(status, &body, &question);
        match accepted {
            Ok(more) => {
                if status == 200 && target == SNAPSHOT {
                    Edge::store_snapshot(&body).await;
                }
                if !more {
                    return true;
                }
            }
            Err(error) => {
                eprintln!("tollgate: the origin's answer is refused: {error}");
                return false;
            }
        }
    }
    true
}

/// A question asked now.
fn question() -> Question {
    let mut nonce = [0; Nonce::LEN];
    for half in nonce.as_chunks_mut().0 {
        *half = random::get_random_u64().to_be_bytes();
    }
    Question { asked_at_ms: now_ms(), nonce: Nonce::from_bytes(nonce) }
}

/// GETs `url`; the error is a line for the log and the health report.
async fn get(url: &str) -> Result<(u16, Vec<u8>), String> {
    let options = RequestOptions::new();
    for set in [
        RequestOptions::set_connect_timeout,
        RequestOptions::set_first_byte_timeout,
        RequestOptions::set_between_bytes_timeout,
    ] {
        // A host may lack a timeout; the wait of the requests is bounded all the same.
        let _ = set(&options, Some(TIMEOUT));
    }
    let request = http::request(&Method::Get, url, Vec::new(), None, Some(options)).map_err(|code| code.to_string())?;
    let response = client::send(request).await.map_err(|code| code.to_string())?;
    let response: Response = spin_sdk::http::FromResponse::from_response(response).map_err(|code| code.to_string())?;
    let status = response.status().as_u16();
    match http::bounded(response.into_body(), MAX_FETCH_BYTES).await {
        Ok(body) => Ok((status, body)),
        Err(BodyError::TooLarge) => Err(format!("the answer is larger than {MAX_FETCH_BYTES} bytes")),
        Err(BodyError::Broken(code)) => Err(code.to_string()),
    }
}
