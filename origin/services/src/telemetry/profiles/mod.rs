//! Profiles of this process in the format of pprof (gzipped protobuf): `go tool pprof` and most
//! viewers of profiles read it.
//!
//! The processor's time is sampled by a signal while a profile is taken, and not otherwise. Waits,
//! requests and tasks are what the metrics count, so they cost nothing more. Heap profiles need an
//! allocator that samples allocations.

mod waits;

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use tollgate_profiles::{DEFAULT_DURATION, MAX_DURATION, Profile, sample_cpu};

use super::metric_sources::MetricSources;

/// What a profile is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileKind {
    /// Samples of the processor's time.
    Cpu,
    /// Memory in use.
    Heap,
    /// Memory allocated since the start.
    Allocs,
    /// Waits in queues, by queue.
    Contention,
    /// Durations of requests, by route.
    Requests,
    /// Tasks, requests and long polls at the moment.
    Tasks,
}

impl ProfileKind {
    pub const ALL: [ProfileKind; 6] = [
        ProfileKind::Cpu,
        ProfileKind::Heap,
        ProfileKind::Allocs,
        ProfileKind::Contention,
        ProfileKind::Requests,
        ProfileKind::Tasks,
    ];

    /// Name in the path, as in Go where Go has such a profile.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ProfileKind::Cpu => "profile",
            ProfileKind::Heap => "heap",
            ProfileKind::Allocs => "allocs",
            ProfileKind::Contention => "contention",
            ProfileKind::Requests => "requests",
            ProfileKind::Tasks => "tasks",
        }
    }
}

/// Which allocations a heap profile has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocations {
    InUse,
    SinceStart,
}

/// The allocator's heap profile, in pprof's format.
pub type HeapProfiler = fn(Allocations) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// A profile could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("another profile of the processor is being taken")]
    Busy,
    #[error("this program was built without heap profiles: build it with the feature `profiling`")]
    NoHeapProfiles,
    #[error("{0}")]
    Failed(String),
}

/// Takes profiles.
pub struct Profiler {
    sources: MetricSources,
    heap: Option<HeapProfiler>,
    /// Held while the processor's time is sampled: a process has one such timer.
    sampling: Mutex<()>,
}

impl Profiler {
    #[must_use]
    pub fn new(sources: MetricSources, heap: Option<HeapProfiler>) -> Profiler {
        Profiler { sources, heap, sampling: Mutex::new(()) }
    }

    /// Takes a profile. `duration` is how long the processor is sampled, or the time to which waits
    /// and requests are limited; without it they count since the start.
    ///
    /// # Errors
    /// When the profile cannot be taken here or now.
    pub async fn take(&self, kind: ProfileKind, duration: Option<Duration>) -> Result<Vec<u8>, ProfileError> {
        let duration = duration.map(|duration| duration.min(MAX_DURATION));
        match kind {
            ProfileKind::Cpu => {
                let _sampling = self.sampling.try_lock().map_err(|_| ProfileError::Busy)?;
                encode(&sample_cpu(duration.unwrap_or(DEFAULT_DURATION)).await.map_err(ProfileError::Failed)?)
            }
            ProfileKind::Heap => self.heap_profile(Allocations::InUse).await,
            ProfileKind::Allocs => self.heap_profile(Allocations::SinceStart).await,
            ProfileKind::Tasks => encode(&waits::tasks(&self.sources.read().await)),
            ProfileKind::Contention => encode(&self.since(duration, waits::contention).await),
            ProfileKind::Requests => encode(&self.since(duration, waits::requests).await),
        }
    }

    async fn heap_profile(&self, allocations: Allocations) -> Result<Vec<u8>, ProfileError> {
        let heap = self.heap.ok_or(ProfileError::NoHeapProfiles)?;
        heap(allocations).await.map_err(ProfileError::Failed)
    }

    /// The profile that `read` makes of the metrics, less what it was a duration ago.
    async fn since(&self, duration: Option<Duration>, read: fn(&[waits::OfIssuer]) -> Profile) -> Profile {
        let Some(duration) = duration else { return read(&self.sources.read().await) };
        let before = read(&self.sources.read().await);
        sleep(duration).await;
        read(&self.sources.read().await).less(&before)
    }
}

fn encode(profile: &Profile) -> Result<Vec<u8>, ProfileError> {
    profile.encode().map_err(|error| ProfileError::Failed(error.to_string()))
}
