//! The allocator's heap profile, if the program was built with the feature `profiling` and started
//! with `MALLOC_CONF=prof:true`.
//!
//! The feature is off by default: jemalloc then samples allocations, which costs some percent, and
//! its unwinder and the conversion to pprof's format are code that a server need not have.

use tollgate_services::telemetry::HeapProfiler;

#[cfg(not(feature = "profiling"))]
pub(crate) fn profiler() -> Option<HeapProfiler> {
    None
}

#[cfg(feature = "profiling")]
pub(crate) fn profiler() -> Option<HeapProfiler> {
    Some(jemalloc::dump)
}

#[cfg(feature = "profiling")]
mod jemalloc {
    use std::io::Read as _;
    use std::pin::Pin;

    use jemalloc_pprof::PROF_CTL;
    use mappings::MAPPINGS;
    use tollgate_services::telemetry::Allocations;

    pub(super) fn dump(allocations: Allocations) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>> {
        Box::pin(read(allocations))
    }

    /// Dumps the profile and converts it to pprof's format.
    async fn read(allocations: Allocations) -> Result<Vec<u8>, String> {
        let control =
            PROF_CTL.as_ref().ok_or("the program must be started with MALLOC_CONF=prof:true,prof_accum:true")?;
        let mut dump = String::new();
        let mut file = control.lock().await.dump().map_err(|error| error.to_string())?;
        file.read_to_string(&mut dump).map_err(|error| error.to_string())?;
        let (dump, space) = match allocations {
            Allocations::InUse => (dump, "inuse_space"),
            Allocations::SinceStart => (accumulated(&dump), "alloc_space"),
        };
        let profile = pprof_util::parse_jeheap(dump.as_bytes(), MAPPINGS.as_deref());
        let profile = profile.map_err(|error| error.to_string())?;
        Ok(profile.to_pprof((space, "bytes"), ("space", "bytes"), None))
    }

    /// The dump with the numbers of all allocations in the place of those in use: a line is
    /// `t*: objects: bytes [all objects: all bytes]`.
    fn accumulated(dump: &str) -> String {
        let line = |line: &str| -> Option<String> {
            let (in_use, all) = line.strip_suffix(']')?.split_once('[')?;
            let thread = in_use.split(':').next()?;
            Some(format!("{thread}: {all} [0: 0]"))
        };
        dump.lines().map(|text| line(text).unwrap_or_else(|| text.to_owned()) + "\n").collect()
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn numbers_of_all_allocations_replace_those_in_use() {
            let dump = "heap_v2/524288\n  t*: 2: 64 [5: 4096]\n@ 0x1 0x2\n  t*: 1: 32 [3: 96]\n";
            let expected = "heap_v2/524288\n  t*: 5: 4096 [0: 0]\n@ 0x1 0x2\n  t*: 3: 96 [0: 0]\n";
            assert_eq!(super::accumulated(dump), expected);
        }
    }
}
