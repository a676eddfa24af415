//! What a process has cost so far, read from `/proc`: CPU time, resident memory, the number of files it may open.
//!
//! CPU time is the sum over the threads' `schedstat`, which counts nanoseconds; `stat` counts hundredths of a
//! second, too coarse for a run of two seconds. A thread that has ended is no longer in that sum, so a difference
//! is right only for programs that keep their threads, as servers do.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result, ensure};

/// CPU seconds, user and system, that the living threads of process `pid` have used.
///
/// # Errors
///
/// When the process is gone, or the kernel keeps no scheduler statistics.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let folder = format!("/proc/{pid}/task");
    let mut total_ns = 0;
    for thread in fs::read_dir(&folder).with_context(|| format!("reading {folder}"))? {
        let path = thread?.path().join("schedstat");
        match fs::read_to_string(&path) {
            Ok(statistics) => total_ns += first_number(&statistics).context("a schedstat without numbers")?,
            // It ended between the listing and the reading.
            Err(error)
                if error.kind() == ErrorKind::NotFound && path.parent().is_some_and(|p| !p.exists()) => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
    Ok(total_ns as f64 / 1e9)
}

/// Resident memory of process `pid` in KiB.
///
/// # Errors
///
/// When the process is gone.
pub fn resident_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in the status")?;
    first_number(line).context("a VmRSS without a number")
}

/// # Errors
///
/// When this process may not hold `sockets` sockets and the few other files it needs open at once.
pub fn ensure_files(sockets: u32) -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits").context("reading /proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    // "unlimited" is no number, and enough.
    let allowed = line.and_then(first_number).unwrap_or(u64::MAX);
    let needed = u64::from(sockets) + 32;
    ensure!(
        allowed >= needed,
        "{sockets} sockets need {needed} open files and this shell allows {allowed}: run `ulimit -n {needed}` first"
    );
    Ok(())
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_of_this_process_show() {
        let pid = std::process::id();
        let clock = crate::clock::Clock::start();
        let start_us = clock.now_us();
        while clock.now_us() < start_us + 50_000 {}
        // No difference is taken: the threads of other tests may end meanwhile. This thread is in the sum for certain.
        assert!(cpu_seconds(pid).unwrap() > 0.001);
        assert!(resident_kib(pid).unwrap() > 100);
    }

    #[test]
    fn more_sockets_than_the_shell_allows_are_refused_with_the_remedy() {
        assert!(ensure_files(1).is_ok());
        let refused = ensure_files(u32::MAX - 32);
        assert!(refused.is_err_and(|error| error.to_string().contains("ulimit -n")));
    }
}
