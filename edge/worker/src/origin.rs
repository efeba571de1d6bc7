//! Pulling from the origin: what an isolate does without a hub, and what a hub does for its isolates.

use std::cell::RefCell;

use tollgate_gate::{Gate, MAX_FETCH_BYTES, Nonce, Question};
use worker::{console_error, web_sys};

use crate::{
    http::{self, BodyError},
    now_ms, random,
};

/// Limit on one answer of the origin, body included, in milliseconds.
const ANSWER_LIMIT: u32 = 1_500;
/// Messages taken in one go: 4096 changes each, so more than any origin keeps.
const MOST_MESSAGES: usize = 16;

/// An answer of the origin that the gate accepted.
pub(crate) struct Taken {
    /// Whether the question was for a snapshot.
    pub(crate) is_snapshot: bool,
    /// The signed message.
    pub(crate) message: Vec<u8>,
    /// When the question was asked, in Unix milliseconds.
    pub(crate) asked_at: u64,
    /// Whether there is more to come; if not, the gate was complete when it asked.
    pub(crate) more: bool,
}

/// Takes messages from the origin until the gate has no more to ask, and hands on each that it accepted. True when nothing
/// went wrong.
pub(crate) async fn pull(gate: &RefCell<Gate>, mut hand_on: impl FnMut(Taken)) -> bool {
    for _ in 0..MOST_MESSAGES {
        let (after, asked_at) = (gate.borrow().next_after(), now_ms());
        let asked = match random() {
            Ok(nonce) => {
                let question = Question { asked_at_ms: asked_at, nonce: Nonce::from_bytes(nonce) };
                let target = gate.borrow().next_fetch(0, &question);
                let url = format!("{}{target}", gate.borrow().settings().origin);
                get(&url).await.map(|answer| (question, answer))
            }
            Err(why) => Err(why),
        };
        let (question, (status, message)) = match asked {
            Ok(answer) => answer,
            Err(why) => {
                console_error!("tollgate: the origin cannot be asked: {why}");
                gate.borrow_mut().fetch_failed(&why, now_ms());
                return false;
            }
        };
        let accepted = gate.borrow_mut().accept(status, &message, &question);
        match accepted {
            Ok(more) => {
                // 410 is a true answer too, which brings no message but another question.
                if status == 200 {
                    hand_on(Taken { is_snapshot: after.is_none(), message, asked_at, more });
                }
                if !more {
                    return true;
                }
            }
            Err(error) => {
                console_error!("tollgate: the origin's answer is refused: {error}");
                return false;
            }
        }
    }
    false
}

/// GETs `url`; the error is a line for the log and the health report.
async fn get(url: &str) -> Result<(u16, Vec<u8>), String> {
    let init = web_sys::RequestInit::new();
    init.set_redirect(web_sys::RequestRedirect::Manual); // the origin never redirects an edge; whoever does is not it
    init.set_signal(Some(&web_sys::AbortSignal::timeout_with_u32(ANSWER_LIMIT)));
    let response = http::fetch(url, &init).await?;
    match http::bounded(response.body(), MAX_FETCH_BYTES).await {
        Ok(body) => Ok((response.status(), body)),
        Err(BodyError::TooLarge) => Err(format!("the answer is larger than {MAX_FETCH_BYTES} bytes")),
        Err(BodyError::Broken(why)) => Err(why),
    }
}
