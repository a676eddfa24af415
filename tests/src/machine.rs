//! What the fixtures want of the machine: a folder of their own, signals, and waits that end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long anything may take before a test gives up; a loaded machine with two cores needs seconds for some.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Often enough that nobody waits for it, rarely enough to leave the processor to what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks again and again until there is something, and returns it.
///
/// `what` says what is waited for, in the panic after [`DEADLINE`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = timeout(DEADLINE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain: {what}"))
}

/// A signal to a process that a fixture started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Please end.
    Term,
    /// Please end: Ctrl-C.
    Int,
    /// End at once.
    Kill,
    /// Hang, as a machine without power would.
    Stop,
    /// Go on.
    Cont,
}

/// Sends a signal by number of process. The command does it, for the system's call is not safe Rust.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let name = match signal {
        Signal::Term => "-TERM",
        Signal::Int => "-INT",
        Signal::Kill => "-KILL",
        Signal::Stop => "-STOP",
        Signal::Cont => "-CONT",
    };
    let status =
        Command::new("kill").args([name, &pid.to_string()]).status().expect("there is a command kill");
    assert!(status.success(), "kill {name} {pid}: {status}");
}

/// Waits until a process has ended.
pub(crate) async fn ended(process: &mut Child) -> ExitStatus {
    let pid = process.id();
    let look = async || process.try_wait().expect("a child of ours can be waited for");
    until(&format!("process {pid} ends"), look).await
}

/// Ends a process whatever it does, for a fixture's drop; one that has ended already is left alone.
pub(crate) fn end(process: &mut Child) {
    // An error means that it is gone; the wait after SIGKILL takes no time, also when the process was stopped.
    if process.kill().is_ok() {
        process.wait().ok();
    }
}

/// A folder of its own under the system's temporary one, removed on drop.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes an empty one; `name` is for whoever finds it left behind.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("palabre-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file into it; returns the file's path as an argument.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a folder of ours can be written to");
        path.into_os_string().into_string().expect("the path is Unicode")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays is no reason to fail a test, least of all one that is failing already.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
