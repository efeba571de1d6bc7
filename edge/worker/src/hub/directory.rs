//! The directory: the one hub that knows all others. It gets the origin's pushes and sends each to
//! every hub in use, and keeps the snapshot in Workers KV.
//!
//! Never: it admits a push twice, or reports a sequence as delivered that a hub lacks.

use std::{cell::Cell, cell::RefCell, collections::BTreeMap};

use futures::future;
use tollgate_gate::{JsonObject, Response};
use worker::Env;

use crate::{
    hubs::{self, send},
    protocol::HubRequest,
};

/// How long a hub counts as in use after its last registration. Hubs that isolates ask register
/// twice a minute.
pub(super) const HUB_LIFETIME_MS: u64 = 120_000;
/// All locations with the most hubs.
const MAX_HUBS: usize = 640;
/// A hub may have to catch up before it answers.
const PUSH_TIMEOUT_MS: u64 = 2_500;

/// The hubs in use, and what they have.
#[derive(Default)]
pub(super) struct Directory {
    /// Time of the last registration of each hub, in Unix milliseconds.
    hubs: RefCell<BTreeMap<String, u64>>,
    /// Sequence that every hub had after the last push; none before the first.
    pub(super) delivered: Cell<Option<u64>>,
    /// Time of the last check whether KV has the snapshot.
    pub(super) kv_checked_ms: Cell<u64>,
}

impl Directory {
    pub(super) fn new(hubs: BTreeMap<String, u64>) -> Self {
        Self { hubs: RefCell::new(hubs), ..Self::default() }
    }

    /// Registers a hub. Returns false if there are too many.
    pub(super) fn register(&self, name: &str, now_ms: u64) -> bool {
        let mut hubs = self.hubs.borrow_mut();
        hubs.retain(|_, seen_ms| now_ms.abs_diff(*seen_ms) < HUB_LIFETIME_MS);
        let has_room = hubs.len() < MAX_HUBS || hubs.contains_key(name);
        if has_room {
            hubs.insert(name.to_owned(), now_ms);
        }
        has_room
    }

    /// Names of the hubs in use.
    fn in_use(&self, now_ms: u64) -> Vec<String> {
        let hubs = self.hubs.borrow();
        let in_use = hubs.iter().filter(|(_, seen_ms)| now_ms.abs_diff(**seen_ms) < HUB_LIFETIME_MS);
        in_use.map(|(name, _)| name.clone()).collect()
    }

    /// Sends a push to every hub in use. `own` is the directory's own response to it. The response
    /// has the lowest sequence of all, because only so much is delivered. The origin then sends the
    /// changes after it, and the other hubs skip what they have.
    pub(super) async fn push_to_all(&self, env: &Env, message: &[u8], own: Response, now_ms: u64) -> Response {
        let (mut is_applied, mut lowest) = (own.status == 200, hubs::sequence(&own.body));
        let names = self.in_use(now_ms);
        let pushes = names.iter().map(|name| send(env, name, &HubRequest::Push, Some(message), PUSH_TIMEOUT_MS));
        for answer in future::join_all(pushes).await {
            match answer {
                Ok((status @ (200 | 409), answer)) => {
                    is_applied &= status == 200;
                    // None, from a hub without a snapshot, is lower than any sequence.
                    lowest = lowest.min(hubs::sequence(&answer));
                }
                Ok((status, _)) => return hubs::push_failed(&format!("the hub answered with status {status}")),
                Err(why) => return hubs::push_failed(&why),
            }
        }
        if is_applied {
            self.delivered.set(lowest);
        }
        Response::json(if is_applied { 200 } else { 409 }, JsonObject::new().number("sequence", lowest))
    }
}
