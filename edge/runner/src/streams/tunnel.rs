//! The two connections of an upgraded exchange: passes bytes both ways until one side closes, or
//! until the stream ends.
//!
//! When the edge ends a WebSocket, it sends a close frame both ways. Frames of up to
//! [`BUFFER_BYTES`] are passed on as a whole, so that a stream nearly always ends between two
//! frames. Inside a longer frame, no close frame can be sent, and the connection is closed.

use super::exchange::{Exchange, StreamEnd};
use super::frames::{FramePosition, close_frame};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep, timeout};

/// Bytes of one direction that are in memory.
const BUFFER_BYTES: usize = 16 << 10;
/// Time for the close frames and for the peers' answers.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the connections carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    WebSocket,
    /// Bytes without known frames: the connections are closed without notice.
    Other,
}

/// An upgraded exchange.
pub(crate) struct Tunnel {
    pub(crate) protocol: Protocol,
    pub(crate) exchange: Exchange,
    /// Time without data in both directions after which the stream ends.
    pub(crate) idle_timeout: Duration,
}

impl Tunnel {
    /// Passes bytes between client and upstream until the stream ends.
    pub(crate) async fn run(mut self, client: Upgraded, upstream: Upgraded) {
        let (mut from_client, mut to_client) = split(TokioIo::new(client));
        let (mut from_upstream, mut to_upstream) = split(TokioIo::new(upstream));
        let mut outbound = Direction::new(self.protocol);
        let mut inbound = Direction::new(self.protocol);
        let activity = Activity::new();
        let end = {
            let pass = async {
                tokio::try_join!(
                    outbound.pass(&mut from_client, &mut to_upstream, &activity),
                    inbound.pass(&mut from_upstream, &mut to_client, &activity),
                )
            };
            let mut pass = std::pin::pin!(pass);
            loop {
                if let Err(end) = self.exchange.open().await {
                    break end;
                }
                tokio::select! {
                    biased;
                    () = self.exchange.interrupted() => {}
                    () = activity.idle_for(self.idle_timeout) => self.exchange.end(StreamEnd::Idle),
                    // Both sides have closed, or a connection is broken.
                    _ = &mut pass => return,
                }
            }
        };
        if self.protocol == Protocol::WebSocket {
            let code = match end {
                _ if end.needs_new_token() => 1008,            // policy violation
                StreamEnd::Stale | StreamEnd::TooMany => 1013, // try again later
                _ => 1001,                                     // going away
            };
            let for_client = close_frame(code, end.text(), None);
            let for_upstream = close_frame(code, end.text(), Some(mask()));
            let closing = async {
                tokio::join!(
                    inbound.close(&mut to_client, &mut from_client, &for_client),
                    outbound.close(&mut to_upstream, &mut from_upstream, &for_upstream),
                )
            };
            // A peer that does not answer is disconnected.
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
        }
    }
}

/// What lasts as long as a tunnel: the server's record that a request of the connection is being
/// answered. The response that upgrades the connection has it in its extensions.
#[derive(Clone, Default)]
pub(crate) struct TunnelHold(Arc<Mutex<Option<Box<dyn Send>>>>);

impl TunnelHold {
    /// Drops `value` when the tunnel ends.
    pub(crate) fn keep(&self, value: impl Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(value));
    }

    /// Drops what is held.
    pub(crate) fn release(&self) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(held);
    }
}

type Reader = ReadHalf<TokioIo<Upgraded>>;
type Writer = WriteHalf<TokioIo<Upgraded>>;

/// One direction of a tunnel.
struct Direction {
    buffer: Box<[u8]>,
    /// Bytes that were read and not yet written.
    pending: std::ops::Range<usize>,
    /// After the last byte that was written; none without frames.
    written: Option<FramePosition>,
}

impl Direction {
    fn new(protocol: Protocol) -> Direction {
        let written = (protocol == Protocol::WebSocket).then(FramePosition::default);
        Direction { buffer: vec![0; BUFFER_BYTES].into(), pending: 0..0, written }
    }

    /// Passes bytes until the sender closes, and closes the receiver's side. Dropping the future
    /// loses no position: each read and write is complete or has not happened.
    async fn pass(&mut self, from: &mut Reader, to: &mut Writer, activity: &Activity) -> io::Result<()> {
        loop {
            self.buffer.copy_within(self.pending.clone(), 0);
            self.pending = 0..self.pending.len();
            let free = self.buffer.get_mut(self.pending.end..).unwrap_or_default();
            let read = from.read(free).await?;
            activity.record();
            self.pending.end += read;
            let is_closed = read == 0;
            let until = if is_closed { self.pending.end } else { self.pending.start + self.sendable() };
            while self.pending.start < until {
                let bytes = self.buffer.get(self.pending.start..until).unwrap_or_default();
                let written = to.write(bytes).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.record_written(written);
                activity.record();
            }
            to.flush().await?;
            if is_closed {
                return to.shutdown().await;
            }
        }
    }

    /// Number of pending bytes to write now: up to the end of the last whole frame. All of them
    /// inside a frame that has begun, and of a frame that is longer than the buffer.
    fn sendable(&self) -> usize {
        let pending = self.buffer.get(self.pending.clone()).unwrap_or_default();
        let Some(mut position) = self.written else { return pending.len() };
        let is_inside_frame = !position.is_between_frames();
        match position.advance(pending) {
            0 if is_inside_frame || pending.len() == self.buffer.len() => pending.len(),
            whole_frames => whole_frames,
        }
    }

    fn record_written(&mut self, count: usize) {
        let bytes = self.buffer.get(self.pending.start..self.pending.start + count).unwrap_or_default();
        if let Some(position) = &mut self.written {
            position.advance(bytes);
        }
        self.pending.start += count;
    }

    /// Sends a close frame, if no frame has begun, and waits until the peer closes. What the peer
    /// sends meanwhile is dropped: a connection that is closed with unread bytes is reset, and the
    /// peer may then lose the close frame.
    async fn close(&self, to: &mut Writer, from: &mut Reader, frame: &[u8]) -> io::Result<()> {
        if self.written.is_none_or(|position| !position.is_between_frames()) {
            return Ok(());
        }
        to.write_all(frame).await?;
        to.shutdown().await?;
        let mut dropped = [0; 1024];
        while from.read(&mut dropped).await? > 0 {}
        Ok(())
    }
}

/// Time of the last data in any direction.
struct Activity {
    began: Instant,
    /// Milliseconds after `began`.
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Activity {
        Activity { began: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn record(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed, Ordering::Relaxed);
    }

    /// Waits until no data has passed for `limit`.
    async fn idle_for(&self, limit: Duration) {
        loop {
            let last = self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let idle = last.elapsed();
            if idle >= limit {
                return;
            }
            sleep(limit - idle).await;
        }
    }
}

/// Masking key of a frame to the upstream. Without a random source it is zero: the frame has no
/// content of the client.
#[expect(clippy::disallowed_methods, reason = "the masking key of a WebSocket frame is random")]
fn mask() -> [u8; 4] {
    let mut key = [0; 4];
    let _ = getrandom::fill(&mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(direction: &mut Direction, bytes: &[u8]) -> usize {
        direction.buffer[..bytes.len()].copy_from_slice(bytes);
        direction.pending = 0..bytes.len();
        direction.sendable()
    }

    /// An unmasked frame with a payload of up to 65,535 bytes.
    fn frame(payload: u16) -> Vec<u8> {
        let [high, low] = payload.to_be_bytes();
        [vec![0x82, 126, high, low], vec![b'x'; payload.into()]].concat()
    }

    #[test]
    fn part_of_a_frame_waits_for_the_rest() {
        let mut direction = Direction::new(Protocol::WebSocket);
        let (first, second) = (frame(10), frame(20));
        assert_eq!(holding(&mut direction, &first[..13]), 0);
        assert_eq!(holding(&mut direction, &[&first[..], &second[..3]].concat()), first.len());
        assert_eq!(holding(&mut direction, &[first.clone(), second.clone()].concat()), first.len() + second.len());
    }

    #[test]
    fn frame_that_is_longer_than_the_buffer_passes_in_parts() {
        let mut direction = Direction::new(Protocol::WebSocket);
        let long = frame(40_000);
        assert_eq!(holding(&mut direction, &long[..BUFFER_BYTES]), BUFFER_BYTES);
        direction.record_written(BUFFER_BYTES);
        assert!(!direction.written.expect("frames").is_between_frames(), "no close frame can be sent");
        let rest = &long[BUFFER_BYTES..];
        assert_eq!(holding(&mut direction, &rest[..100]), 100, "nothing is held back inside a frame that has begun");
    }

    #[test]
    fn bytes_without_frames_pass_as_they_come() {
        let mut direction = Direction::new(Protocol::Other);
        assert_eq!(holding(&mut direction, b"\x82\x05part"), 6);
    }
}
