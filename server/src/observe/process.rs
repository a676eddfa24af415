//! What the process costs the machine, as Linux tells it in `/proc`; elsewhere nothing is known.

use std::fs;

/// Linux counts processor time in hundredths of a second for every program, whatever its kernel does inside.
const TICKS_PER_S: f64 = 100.0;

/// The process's use of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Process {
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: u64,
    pub(crate) threads: u64,
}

impl Process {
    /// What it uses now, if the system says so.
    pub(crate) fn now() -> Option<Self> {
        let files = fs::read_dir("/proc/self/fd").ok()?;
        Self::read(
            &fs::read_to_string("/proc/self/stat").ok()?,
            &fs::read_to_string("/proc/self/status").ok()?,
            // The look itself takes one.
            files.count().saturating_sub(1) as u64,
        )
    }

    fn read(stat: &str, status: &str, open_files: u64) -> Option<Self> {
        // The name, in parentheses, may hold anything; the state is the first word after it.
        let (_, words) = stat.rsplit_once(") ")?;
        let ticks = |at| words.split(' ').nth(at)?.parse::<u32>().ok().map(f64::from);
        let line = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self {
            cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_S,
            resident_bytes: line("VmRSS:")? * 1_024,
            open_files,
            threads: line("Threads:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_confuses_nobody() {
        let stat = "12 (a) S (b) R 1 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 5 6 7";
        let status = "Name:\ta\nVmRSS:\t    2048 kB\nThreads:\t3\n";
        let expected = Process { cpu_s: 3.0, resident_bytes: 2_097_152, open_files: 7, threads: 3 };
        assert_eq!(Process::read(stat, status, 7), Some(expected));
        assert_eq!(Process::read("", "", 0), None);
    }

    #[test]
    fn this_process_uses_something() {
        let now = Process::now().expect("these tests run on Linux");
        assert!(now.resident_bytes > 1 << 20 && now.open_files >= 3 && now.threads >= 1, "{now:?}");
    }
}
