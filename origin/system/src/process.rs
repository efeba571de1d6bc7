//! Resources that this process uses, as Linux reports them under `/proc/self`. On other systems
//! they are not known.

use std::fs;

/// Clock ticks of a second in `/proc`: the same on all processors that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resources of this process. What the system does not report is absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessResources {
    /// Processor time since the start, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory in RAM.
    pub resident_bytes: Option<u64>,
    /// Address space.
    pub virtual_bytes: Option<u64>,
    pub threads: Option<u64>,
    pub open_files: Option<u64>,
    /// Limit of the open files.
    pub max_files: Option<u64>,
    /// Unix time of the start, in seconds.
    pub started_at: Option<f64>,
}

impl ProcessResources {
    /// Reads the resources. This takes some milliseconds if many files are open.
    #[must_use]
    pub fn read() -> ProcessResources {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (stat, status, limits) = (text("/proc/self/stat"), text("/proc/self/status"), text("/proc/self/limits"));
        let kilobytes = |name: &str| number_after(&status, name)?.checked_mul(1024);
        let since_boot = |index| Some(stat_field(&stat, index)? / TICKS_PER_SECOND);
        let boot = number_after(&text("/proc/stat"), "btime");
        ProcessResources {
            cpu_seconds: since_boot(UTIME).zip(since_boot(STIME)).map(|(user, system)| user + system),
            resident_bytes: kilobytes("VmRSS:"),
            virtual_bytes: kilobytes("VmSize:"),
            threads: number_after(&status, "Threads:"),
            // Reading the folder opens it.
            open_files: fs::read_dir("/proc/self/fd").ok().map(|files| (files.count() as u64).saturating_sub(1)),
            max_files: number_after(&limits, "Max open files"),
            started_at: since_boot(STARTTIME).zip(boot).map(|(since_boot, boot)| boot as f64 + since_boot),
        }
    }
}

/// Index of a field of `/proc/self/stat` after the name of the program (proc_pid_stat(5) counts
/// from 1, and the name is the second).
const UTIME: usize = 14 - 3;
const STIME: usize = 15 - 3;
const STARTTIME: usize = 22 - 3;

/// A field after the name of the program, which is in parentheses and may contain any character.
fn stat_field(stat: &str, index: usize) -> Option<f64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(index)?.parse().ok()
}

/// The number that follows `name` at the beginning of a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_name_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 11 12 13 14 15 16 9000 17";
        assert_eq!((stat_field(stat, UTIME), stat_field(stat, STIME)), (Some(150.0), Some(50.0)));
        assert_eq!((stat_field(stat, STARTTIME), stat_field(stat, 90)), (Some(9000.0), None));
        assert_eq!(number_after("a 1\nVmRSS:\t  42 kB\n", "VmRSS:"), Some(42));
        assert_eq!(number_after("Max open files            unlimited  files", "Max open files"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_reports_all_resources() {
        let resources = ProcessResources::read();
        assert!(resources.cpu_seconds.is_some() && resources.started_at.is_some_and(|at| at > 1e9), "{resources:?}");
        let bytes = resources.resident_bytes.zip(resources.virtual_bytes);
        assert!(bytes.is_some_and(|(resident, total)| resident > 0 && total >= resident), "{resources:?}");
        assert!(resources.open_files.is_some_and(|files| files >= 3), "{resources:?}");
        assert!(resources.threads.is_some_and(|threads| threads >= 1), "{resources:?}");
    }
}
