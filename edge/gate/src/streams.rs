//! Open streams: whether the token with which a stream was opened is still good.
//!
//! A request is decided once, and a WebSocket, an event stream or a gRPC call may then stay open
//! for hours. A host keeps a [`StreamTicket`] of each ([`Gate::stream_ticket`]) and asks
//! [`Gate::check_stream`] about all of them when [`Gate::stream_schedule`] has changed or one of
//! its times is reached, and about each when its ticket expires.

use tollgate_core::{Refusal, ReplicaView, StreamTicket, UnknownStatusPolicy};

use crate::bearer::{self, AccessToken};
use crate::gate::{Freshness, Gate};
use crate::message::Request;
use crate::path;
use crate::routing::{authority, find_route};

/// Time between two checks of a stream by a host that does not learn of changes.
const CHECK_INTERVAL_MS: u64 = 100;
/// Length up to which a body is no stream.
const MAX_SHORT_BODY_BYTES: u64 = 1 << 20;

/// Whether a response with these headers may stay open: it has events, its length is unknown, or it
/// is long. For hosts that otherwise pass the body on without looking at it.
pub fn may_stay_open(content_type: Option<&str>, content_length: Option<&str>) -> bool {
    let length = content_length.and_then(|length| length.parse::<u64>().ok());
    content_type.is_some_and(|kind| kind.starts_with("text/event-stream"))
        || length.is_none_or(|length| length > MAX_SHORT_BODY_BYTES)
}

/// Milliseconds until a host that does not learn of changes checks the stream with this ticket
/// again.
pub fn stream_check_delay_ms(ticket: &StreamTicket, now_ms: u64) -> u64 {
    ticket.expires_at().saturating_mul(1000).saturating_sub(now_ms).min(CHECK_INTERVAL_MS)
}

/// Whether a stream may stay open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamVerdict {
    /// It may.
    Keep,
    /// It depends on a fresher replica: hold the stream's data back, await a fetch, and check again
    /// with `has_waited` set.
    Wait,
    /// The token is not good any more: end the stream.
    End(Refusal),
}

/// What must change before a check of open streams can have another result, apart from the expiry
/// of their tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSchedule {
    /// Sequence of the replica; none without a snapshot. With another sequence, other tokens are
    /// revoked.
    pub sequence: Option<u64>,
    /// Time from which on the replica is stale, in Unix milliseconds; none if it was never fresh.
    pub stale_at_ms: Option<u64>,
}

impl Gate {
    /// The ticket of a stream, from the request that opened it and that this gate has let pass.
    /// `None` if the request's token cannot be identified any more, for example because its key was
    /// removed meanwhile: the stream must end.
    pub fn stream_ticket(&self, request: &Request<'_>) -> Option<StreamTicket> {
        let config = self.state.replica()?.config();
        let route = find_route(config, authority(request), request.method, &path::decode(request.path()).ok()?).ok()?;
        let AccessToken::Token(token, _) = bearer::access_token(request) else { return None };
        let settings = self.settings();
        let own_audience = settings.audience.as_deref().unwrap_or(config.audience());
        let audience = route.audience().unwrap_or(own_audience);
        let allow_plain_jwt = settings.allow_plain_jwt || config.keys().allows_plain_jwt(audience);
        let ticket = self.state.verifier().stream_ticket(token, allow_plain_jwt, settings.leeway);
        let ticket = ticket.ok().or_else(|| self.introspected_stream_ticket(token))?;
        Some(ticket.with_policies(route.on_stale(), route.on_not_covered()))
    }

    /// Whether the stream with this ticket may stay open at `now_ms`. Set `has_waited` after a
    /// fetch was awaited for [`StreamVerdict::Wait`], or if none is to be awaited: then the gate
    /// decides by the replica that it has.
    pub fn check_stream(&self, ticket: &StreamTicket, now_ms: u64, has_waited: bool) -> StreamVerdict {
        let verdict = self.state.replica().ok_or(Refusal::Stale).and_then(|replica| {
            let view = ReplicaView { replica, is_fresh: self.freshness(now_ms) != Freshness::Stale };
            // As for requests: before the replica was fresh once, no route allows what is unknown.
            match self.state.age_ms(now_ms) {
                Some(_) => ticket.check(&view, now_ms / 1000),
                None => {
                    let deny = UnknownStatusPolicy::Deny;
                    ticket.clone().with_policies(deny, deny).check(&view, now_ms / 1000)
                }
            }
        });
        match verdict {
            Ok(()) => StreamVerdict::Keep,
            Err(Refusal::Stale | Refusal::NotCovered) if !has_waited => StreamVerdict::Wait,
            Err(refusal) => StreamVerdict::End(refusal),
        }
    }

    /// When open streams must be checked again.
    pub fn stream_schedule(&self) -> StreamSchedule {
        let stale_at_ms = self.state.complete_as_of_ms().map(|complete_as_of_ms| {
            complete_as_of_ms.saturating_add(self.settings().max_staleness_ms).saturating_add(1)
        });
        StreamSchedule { sequence: self.sequence(), stale_at_ms }
    }
}
