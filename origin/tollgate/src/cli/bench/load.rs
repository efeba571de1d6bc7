//! When requests are sent.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::recording::{Recording, SharedRecording};
use super::worker::Worker;

/// How long after the end of an open loop requests that were due before are still sent.
const OVERDUE_TIME: Duration = Duration::from_secs(10);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// Each worker sends its next request after the response.
    Closed,
    /// Requests are due at this rate, and wait for a free worker.
    Open { per_second: f64 },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// No request is due after this time.
    After(Duration),
    /// After this number of requests.
    Requests(u64),
}

/// A phase of a measurement.
pub(super) struct Load {
    pub(super) pace: Pace,
    pub(super) end: End,
    /// Its name in the progress.
    pub(super) label: &'static str,
}

/// What the workers of a phase share.
struct Phase {
    pace: Pace,
    end: End,
    started: Instant,
    /// Number of the next request.
    next: AtomicU64,
    recording: SharedRecording,
    stop: CancellationToken,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Sends a request that is due at this time.
    Send(Instant),
    /// Counts a request as not sent.
    Skip,
    Finish,
}

impl Load {
    /// Lets the workers send requests until the end, and returns them with the results.
    pub(super) async fn run(
        self,
        workers: Vec<Worker>,
        stop: &CancellationToken,
        is_quiet: bool,
    ) -> anyhow::Result<(Vec<Worker>, Recording)> {
        let Load { pace, end, label } = self;
        let (started, next, recording) = (Instant::now(), AtomicU64::new(0), SharedRecording::new()?);
        let phase = Arc::new(Phase { pace, end, started, next, recording, stop: stop.clone() });
        let progress = (!is_quiet).then(|| tokio::spawn(show_progress(Arc::clone(&phase), label)));
        let mut running = JoinSet::new();
        for worker in workers {
            running.spawn(Arc::clone(&phase).run_worker(worker));
        }
        let mut workers = Vec::with_capacity(running.len());
        while let Some(worker) = running.join_next().await {
            workers.push(worker.context("a worker failed")?);
        }
        if let Some(progress) = progress {
            progress.abort();
        }
        Ok((workers, phase.recording.finish(started.elapsed())?))
    }
}

impl Phase {
    async fn run_worker(self: Arc<Phase>, mut worker: Worker) -> Worker {
        loop {
            if self.stop.is_cancelled() {
                return worker;
            }
            match self.turn(self.next.fetch_add(1, Ordering::Relaxed), Instant::now()) {
                Turn::Finish => return worker,
                Turn::Skip => self.recording.add(Err(Failure::NotSent), Duration::ZERO),
                Turn::Send(due) => {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = self.stop.cancelled() => return worker,
                    }
                    let outcome = worker.run_once().await;
                    self.recording.add(outcome, due.elapsed());
                }
            }
        }
    }

    /// What the worker that takes request `nth` at `now` does.
    fn turn(&self, nth: u64, now: Instant) -> Turn {
        let due = match self.pace {
            Pace::Closed => now,
            Pace::Open { per_second } => self.started + Duration::from_secs_f64(nth as f64 / per_second),
        };
        let is_over = match self.end {
            End::After(duration) => due.saturating_duration_since(self.started) >= duration,
            End::Requests(requests) => nth >= requests,
        };
        let is_lost = match self.end {
            End::After(duration) => now.saturating_duration_since(self.started) > duration + OVERDUE_TIME,
            End::Requests(_) => false,
        };
        match (is_over, is_lost) {
            (true, _) => Turn::Finish,
            (false, true) => Turn::Skip,
            (false, false) => Turn::Send(due),
        }
    }
}

/// Shows each second what happened in it, on standard error.
async fn show_progress(phase: Arc<Phase>, label: &'static str) {
    let (mut ticks, mut before) = (interval(PROGRESS_INTERVAL), 0);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (succeeded, failed) = phase.recording.counts();
        let seconds = phase.started.elapsed().as_secs();
        let done = succeeded + failed;
        let rate = done - before;
        // A closed standard error does not end the measurement.
        let _ = writeln!(std::io::stderr(), "{label}: {seconds:4} s  {rate:7}/s  {done:9} requests  {failed} failed");
        before = done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(pace: Pace, end: End) -> Phase {
        let recording = SharedRecording::new().expect("bounds");
        let stop = CancellationToken::new();
        Phase { pace, end, started: Instant::now(), next: AtomicU64::new(0), recording, stop }
    }

    #[test]
    fn requests_of_the_open_loop_are_due_at_its_rate() {
        let phase = phase(Pace::Open { per_second: 100.0 }, End::After(Duration::from_secs(2)));
        let (started, late) = (phase.started, phase.started + Duration::from_secs(1));
        assert_eq!(phase.turn(0, started), Turn::Send(started));
        // A late worker sends immediately, and the latency counts from when the request was due.
        assert_eq!(phase.turn(50, late), Turn::Send(started + Duration::from_millis(500)));
        assert_eq!(phase.turn(199, late), Turn::Send(started + Duration::from_millis(1990)));
        assert_eq!(phase.turn(200, late), Turn::Finish);
        let overdue = started + Duration::from_secs(13);
        assert_eq!((phase.turn(199, overdue), phase.turn(200, overdue)), (Turn::Skip, Turn::Finish));
    }

    #[test]
    fn closed_loop_ends_after_time_or_number() {
        let timed = phase(Pace::Closed, End::After(Duration::from_secs(2)));
        let end = timed.started + Duration::from_secs(2);
        assert_eq!(timed.turn(1_000_000, timed.started), Turn::Send(timed.started));
        assert_eq!(timed.turn(0, end), Turn::Finish);
        let counted = phase(Pace::Closed, End::Requests(3));
        assert_eq!(counted.turn(2, end), Turn::Send(end));
        assert_eq!(counted.turn(3, counted.started), Turn::Finish);
    }
}
