//! The request that the current task serves: its ID, and how long its parts take. What works for a
//! request records its part here, in whichever crate it is, and the server reads the parts when the
//! request ends, for the log and the trace. Outside of a request nothing is recorded.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use tokio::task::futures::TaskLocalFuture;

/// Parts of a request that are kept with their details. Further ones are in the sums only.
const MAX_PARTS: usize = 64;
/// Waits that are shorter are in the sums only.
const MIN_WAIT: Duration = Duration::from_micros(100);

tokio::task_local! {
    static CURRENT: CurrentRequest;
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A connection to the database, the writer, or a worker thread.
    Queue,
    Database,
    /// A password hash.
    Hashing,
    /// An RSA signature.
    Signing,
    /// The response of another server.
    Outbound,
    /// A change that the client waits for on purpose.
    LongPoll,
}

impl Part {
    pub const ALL: [Part; 6] =
        [Part::Queue, Part::Database, Part::Hashing, Part::Signing, Part::Outbound, Part::LongPoll];

    /// Name for logs and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Part::Queue => "queue",
            Part::Database => "database",
            Part::Hashing => "hashing",
            Part::Signing => "signing",
            Part::Outbound => "outbound",
            Part::LongPoll => "long poll",
        }
    }
}

/// A part of a request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredPart {
    pub part: Part,
    /// What was waited for: a constant, such as the place of a statement in the source.
    pub detail: &'static str,
    pub began: Instant,
    pub took: Duration,
}

/// A request that is being served.
pub struct CurrentRequest {
    id: Cell<String>,
    sums: [Cell<Duration>; Part::ALL.len()],
    /// None if only the sums are wanted.
    parts: Option<RefCell<Vec<MeasuredPart>>>,
}

/// How long the parts of a request took.
#[derive(Debug, Clone, Default)]
pub struct RequestTimes {
    sums: [Duration; Part::ALL.len()],
    /// Parts in the order of their ends, if they were kept.
    pub parts: Vec<MeasuredPart>,
}

impl RequestTimes {
    /// Time of all parts of a kind. Concurrent parts each count.
    #[must_use]
    pub fn sum(&self, part: Part) -> Duration {
        self.sums.get(part as usize).copied().unwrap_or_default()
    }
}

impl CurrentRequest {
    /// A request with this ID. `keeps_parts`: whether to keep each part, and not only the sums.
    #[must_use]
    pub fn new(id: String, keeps_parts: bool) -> CurrentRequest {
        CurrentRequest { id: Cell::new(id), sums: Default::default(), parts: keeps_parts.then(RefCell::default) }
    }

    /// Serves the request: `work` runs with it as the current one. When the future has ended, its
    /// `take_value` returns the request.
    pub fn scope<F: Future>(self, work: F) -> TaskLocalFuture<CurrentRequest, F> {
        CURRENT.scope(self, work)
    }

    /// The ID, and how long the parts took.
    #[must_use]
    pub fn finish(self) -> (String, RequestTimes) {
        let parts = self.parts.map(RefCell::into_inner).unwrap_or_default();
        (self.id.take(), RequestTimes { sums: self.sums.map(Cell::into_inner), parts })
    }

    fn record(&self, measured: MeasuredPart) {
        if let Some(sum) = self.sums.get(measured.part as usize) {
            sum.set(sum.get().saturating_add(measured.took));
        }
        let is_wait = matches!(measured.part, Part::Queue | Part::Outbound);
        let is_kept = !is_wait || measured.took >= MIN_WAIT;
        if let Some(mut parts) = self.parts.as_ref().filter(|_| is_kept).map(RefCell::borrow_mut)
            && parts.len() < MAX_PARTS
        {
            parts.push(measured);
        }
    }
}

/// ID of the current request; none outside of one.
#[must_use]
pub fn id() -> Option<String> {
    let read = |request: &CurrentRequest| {
        let id = request.id.take();
        request.id.set(id.clone());
        id
    };
    CURRENT.try_with(read).ok()
}

/// Records a part that has ended.
pub fn record(part: Part, detail: &'static str, began: Instant, took: Duration) {
    // Outside of a request nothing is measured.
    let _ = CURRENT.try_with(|request| request.record(MeasuredPart { part, detail, began, took }));
}

/// Measures a part until the returned value is dropped.
pub fn measure(part: Part, detail: &'static str) -> Measurement {
    Measurement { part, detail, began: Instant::now() }
}

/// A part that has begun.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Measurement {
    part: Part,
    detail: &'static str,
    began: Instant,
}

impl Drop for Measurement {
    fn drop(&mut self) {
        record(self.part, self.detail, self.began, self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    async fn serve(request: CurrentRequest, work: impl Future<Output = ()>) -> (String, RequestTimes) {
        let mut serving = pin!(request.scope(work));
        serving.as_mut().await;
        serving.take_value().expect("it was not taken").finish()
    }

    #[tokio::test]
    async fn parts_are_recorded_in_the_request_that_they_belong_to() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let (id, times) = serve(CurrentRequest::new("1a".to_owned(), true), async {
            assert_eq!((id().as_deref(), id().as_deref()), (Some("1a"), Some("1a")));
            record(Part::Database, "users:12", began, ms(3));
            record(Part::Database, "users:20", began, ms(4));
            record(Part::Queue, "writer", began, ms(1));
            record(Part::Queue, "writer", began, Duration::from_micros(1));
            drop(measure(Part::Hashing, "argon2id"));
        })
        .await;
        assert_eq!((id.as_str(), times.sum(Part::Database), times.sum(Part::Outbound)), ("1a", ms(7), ms(0)));
        assert_eq!(times.sum(Part::Queue), Duration::from_micros(1001));
        let details: Vec<&str> = times.parts.iter().map(|part| part.detail).collect();
        assert_eq!(details, ["users:12", "users:20", "writer", "argon2id"]);

        record(Part::Database, "users:12", began, ms(3));
        assert_eq!(super::id(), None, "outside of a request");
        let (_, times) = serve(CurrentRequest::new("2b".to_owned(), false), async {
            record(Part::Hashing, "argon2id", began, ms(9));
        })
        .await;
        assert_eq!((times.sum(Part::Hashing), times.parts.len()), (ms(9), 0));
    }

    #[tokio::test]
    async fn number_of_kept_parts_is_bounded() {
        let began = Instant::now();
        let (_, times) = serve(CurrentRequest::new(String::new(), true), async {
            (0..1000).for_each(|_| record(Part::Database, "users:12", began, Duration::from_millis(1)));
        })
        .await;
        assert_eq!((times.parts.len(), times.sum(Part::Database)), (MAX_PARTS, Duration::from_secs(1)));
    }
}
