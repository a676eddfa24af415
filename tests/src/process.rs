//! A hub in a process of its own: the real binary, with nothing of the tester's environment and folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::machine::{Folder, Signal, end, ended, signal, until};

/// What the hub says once it can be reached, before its address.
const LISTENING: &str = "listening on http://";

/// Limits that no test reaches by accident.
const UNLIMITED: [(&str, &str); 10] = [
    ("PALABRE_LIMITS_FRAMES_PER_S", "1000000"),
    ("PALABRE_LIMITS_FRAMES_BURST", "1000000"),
    ("PALABRE_LIMITS_BYTES_PER_S", "1GiB"),
    ("PALABRE_LIMITS_BYTES_BURST", "1GiB"),
    ("PALABRE_LIMITS_USER_REQUESTS_PER_S", "1000000"),
    ("PALABRE_LIMITS_USER_REQUESTS_BURST", "1000000"),
    ("PALABRE_LIMITS_EDITS_PER_S", "1000000"),
    ("PALABRE_LIMITS_EDITS_BURST", "1000000"),
    ("PALABRE_LIMITS_USER_EDITS_PER_S", "1000000"),
    ("PALABRE_LIMITS_USER_EDITS_BURST", "1000000"),
];

/// A running `palabre`.
#[derive(Debug)]
pub struct HubProcess {
    process: Child,
    addr: SocketAddr,
    folder: Folder,
}

impl HubProcess {
    /// Starts one with these arguments, on a free port unless they have a `--listen`, and waits until it listens.
    ///
    /// Its clients may speak as fast as they like: tests say in a second what people say in an hour.
    pub async fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[]).await
    }

    /// As [`Self::start`], with environment variables besides: for secrets, which have no argument.
    pub async fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::run(Command::new(binary()), args, &[&UNLIMITED, env].concat()).await
    }

    /// As [`Self::start`], but with the limits that a hub has of itself.
    pub async fn start_metered(args: &[&str]) -> Self {
        Self::run(Command::new(binary()), args, &[]).await
    }

    /// Starts one that may have so many descriptors, with these environment variables.
    pub async fn start_limited(descriptors: usize, env: &[(&str, &str)]) -> Self {
        Self::run(limited("-n", descriptors), &[], env).await
    }

    /// Starts one that has so many descriptors, and may raise that itself.
    pub async fn start_soft_limited(descriptors: usize) -> Self {
        Self::run(limited("-Sn", descriptors), &[], &[]).await
    }

    /// Starts one whose log is on a full disk.
    pub async fn start_unheard(args: &[&str]) -> Self {
        Self::run(in_shell("exec \"$0\" \"$@\" 2>/dev/full"), args, &[]).await
    }

    async fn run(command: Command, args: &[&str], env: &[(&str, &str)]) -> Self {
        let folder = Folder::new("hub");
        let process = spawn(command, &folder, args, env);
        let mut hub = Self { process, addr: SocketAddr::from(([127, 0, 0, 1], 0)), folder };
        hub.addr = until("the hub listens", async || hub.listens_on()).await;
        hub
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it takes WebSockets.
    pub fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.addr)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has written to stderr so far: its log.
    pub fn stderr(&self) -> String {
        written(&self.folder, "stderr")
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        written(&self.folder, "stdout")
    }

    /// Ends it at once (SIGKILL): sockets break without a word.
    pub async fn kill(&mut self) {
        signal(self.pid(), Signal::Kill);
        ended(&mut self.process).await;
    }

    /// How much memory it holds, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most memory that it has held at any time, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// How much it has reserved, touched or not, in KiB.
    pub fn virtual_kib(&self) -> u64 {
        self.status_kib("VmSize:")
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the hub runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a process has memory");
        line.trim_end_matches("kB").trim().parse().expect("it is a number of kB")
    }

    /// How much processor time it has used.
    pub fn cpu(&self) -> Duration {
        /// What the kernel counts in, on every machine that Linux runs on today.
        const TICK: Duration = Duration::from_millis(10);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the hub runs");
        // The name before the rest stands in parentheses and may have some of its own.
        let after = stat.rsplit_once(") ").expect("the name comes first").1;
        let ticks = after.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u32>().expect("a number"));
        TICK * ticks.sum::<u32>()
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.send(Signal::Term);
        self.ended().await
    }

    /// Sends it a signal, and waits for nothing.
    pub fn send(&self, kind: Signal) {
        signal(self.pid(), kind);
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.process).await
    }

    fn listens_on(&mut self) -> Option<SocketAddr> {
        let status = self.process.try_wait().expect("a child of ours can be waited for");
        let said = self.stderr() + &self.stdout();
        let addr = address(&said);
        assert!(status.is_none() || addr.is_some(), "the hub ended with {status:?} and said:\n{said}");
        addr
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        end(&mut self.process);
        if std::thread::panicking() {
            // The test's own output is shown when it fails; the hub's side of the story belongs beside it.
            eprint_log(&self.stderr());
        }
    }
}

/// What became of a `palabre` that did not go on.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// All that it wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
}

impl Ended {
    /// Runs one with these arguments and environment variables, as [`HubProcess::start_with`] does, to its end.
    pub async fn of(args: &[&str], env: &[(&str, &str)]) -> Self {
        let folder = Folder::new("ended");
        let mut process = Running(spawn(Command::new(binary()), &folder, args, env));
        let code = ended(&mut process.0).await.code();
        Self { code, stdout: written(&folder, "stdout"), stderr: written(&folder, "stderr") }
    }
}

/// A process that is not left behind when it goes on against expectation.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// The binary under a limit that a shell sets: `-n` for good, `-Sn` until it is raised.
fn limited(which: &str, descriptors: usize) -> Command {
    in_shell(&format!("ulimit {which} {descriptors}; exec \"$0\" \"$@\""))
}

/// The binary, begun by a shell's script, which has it and its arguments as `$0` and `$@`.
fn in_shell(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(binary());
    shell
}

/// Starts the binary, by this command, in a folder, where its output goes as well.
fn spawn(mut command: Command, folder: &Folder, args: &[&str], env: &[(&str, &str)]) -> Child {
    for (name, _) in std::env::vars_os() {
        // Settings of whoever runs the tests would be found before the tests' own.
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PALABRE_") || name.starts_with("REDIS_") {
            command.env_remove(name);
        }
    }
    command.args(args).envs(env.iter().copied()).current_dir(folder.path());
    if !args.iter().any(|arg| arg.starts_with("--listen")) {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let file =
        |name| std::fs::File::create(folder.path().join(name)).expect("a fresh folder can be written to");
    command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    command.spawn().expect("the hub's binary starts")
}

fn written(folder: &Folder, name: &str) -> String {
    let bytes = std::fs::read(folder.path().join(name)).expect("the hub's output is in its folder");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[expect(clippy::print_stderr, reason = "a failing test's output is where its hub's log is looked for")]
fn eprint_log(log: &str) {
    eprintln!("--- the hub's log ---\n{log}---");
}

/// The address after the words that say so, once its line is complete.
fn address(said: &str) -> Option<SocketAddr> {
    let (_, after) = said.split_once(LISTENING)?;
    let (line, _) = after.split_once('\n')?;
    let end = line.find(|letter: char| !letter.is_ascii_hexdigit() && !"[]:.".contains(letter));
    line[..end.unwrap_or(line.len())].parse().ok()
}

/// The binary to test: `PALABRE_BIN`, or the one that was built beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PALABRE_BIN") {
        return PathBuf::from(path);
    }
    // A test is target/PROFILE/deps/NAME; the binary stands one folder up.
    let test = std::env::current_exe().expect("a test knows its own path");
    let path = test.ancestors().nth(2).expect("a test is two folders deep").join("palabre");
    assert!(
        path.is_file(),
        "{} is missing: build it with `cargo build -p palabre` (and --release if the tests are), or set PALABRE_BIN",
        path.display()
    );
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_a_complete_line() {
        let found = |said| address(said).map(|addr| addr.to_string());
        assert_eq!(found("INFO listening on http://127.0.0.1:8080\n").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(found("listening on http://[::1]:80 mode=memory\nx").as_deref(), Some("[::1]:80"));
        assert_eq!(found("listening on http://127.0.0.1:80"), None);
        assert_eq!(found("nothing\n"), None);
    }
}
