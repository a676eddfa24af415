//! A child process of the report: what it says, a word to start it, its end.
//!
//! Two threads read the child's outputs, so that no pipe fills up and every wait has an end. A child that is dropped
//! is killed: a report that fails leaves nothing running.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::clock::Clock;

const LAST_WORDS_LINES: usize = 20;

/// A running child.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// The last lines of its standard error, for the error that tells of its end.
    last_words: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected when standard error has been read to its end.
    silence: Receiver<()>,
}

impl Program {
    /// Starts `command`.
    ///
    /// # Errors
    ///
    /// When there is no such program.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let (line, lines) = mpsc::sync_channel(1_024);
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let (speaking, silence) = mpsc::sync_channel(0);
        if let Some(stdout) = child.stdout.take() {
            // Lines that nobody waits for are dropped: a talkative child must not be held up.
            each_line(stdout, move |text| drop(line.try_send(text)));
        }
        if let Some(stderr) = child.stderr.take() {
            let last_words = Arc::clone(&last_words);
            each_line(stderr, move |text| {
                let _held_until_the_end: &SyncSender<()> = &speaking;
                let mut words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
                if words.len() == LAST_WORDS_LINES {
                    words.pop_front();
                }
                words.push_back(text);
            });
        }
        Ok(Self { name, child, lines, last_words, silence })
    }

    /// The child's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line that begins with `prefix`; gives what follows that.
    ///
    /// # Errors
    ///
    /// When the child ends, or `deadline` passes, without such a line.
    pub fn line(&self, prefix: &str, deadline: Duration) -> Result<String> {
        self.find(|line| line.strip_prefix(prefix).map(str::to_owned), prefix, deadline)
    }

    /// Waits for the next line that has `part` in it.
    ///
    /// # Errors
    ///
    /// As [`Program::line`].
    pub fn says(&self, part: &str, deadline: Duration) -> Result<()> {
        self.find(|line| line.contains(part).then_some(()), part, deadline)
    }

    fn find<T>(&self, wanted: impl Fn(&str) -> Option<T>, what: &str, deadline: Duration) -> Result<T> {
        let clock = Clock::start();
        let start_us = clock.now_us();
        loop {
            let left = deadline.saturating_sub(Duration::from_micros(clock.now_us() - start_us));
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failed(&format!("did not say {what:?} within {deadline:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.hear_out();
                    return Err(self.failed(&format!("ended before it said {what:?}")));
                }
            }
        }
    }

    /// Sends the child the line that it waits for.
    ///
    /// # Errors
    ///
    /// When the child is gone.
    pub fn begin(&mut self) -> Result<()> {
        let begun = self.child.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
        match begun {
            Some(Ok(())) => Ok(()),
            _ => Err(self.failed("is not there to be started")),
        }
    }

    /// Waits until the child has ended by itself.
    ///
    /// # Errors
    ///
    /// When it does not within `deadline`, or ends with an error.
    pub fn finish(mut self, deadline: Duration) -> Result<()> {
        self.wait(deadline)
    }

    /// Asks the child to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not within `deadline`, or ends with an error.
    pub fn stop(mut self, deadline: Duration) -> Result<()> {
        let pid = self.pid().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().context("running kill")?;
        ensure!(asked.success(), "kill -TERM {pid} failed");
        self.wait(deadline)
    }

    fn wait(&mut self, deadline: Duration) -> Result<()> {
        let clock = Clock::start();
        let start_us = clock.now_us();
        // Its output ends with the process, and can be waited for with a deadline; a process cannot.
        loop {
            let left = deadline.saturating_sub(Duration::from_micros(clock.now_us() - start_us));
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!(self.failed(&format!("did not end within {deadline:?}")))
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.hear_out();
        let status = self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        if status.success() { Ok(()) } else { Err(self.failed(&format!("ended with {status}"))) }
    }

    /// Its outputs are read by two threads: lets the second catch up with the first.
    fn hear_out(&self) {
        // Bounded, as a grandchild may hold the pipe open.
        self.silence.recv_timeout(Duration::from_secs(1)).ok();
    }

    fn failed(&self, how: &str) -> anyhow::Error {
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => anyhow!("{} {how}", self.name),
            words => anyhow!("{} {how}; its last words:\n{}", self.name, words.join("\n")),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and was waited for already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn each_line(from: impl Read + Send + 'static, mut take: impl FnMut(String) + Send + 'static) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            take(line);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Program {
        Program::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn a_child_is_heard_started_and_seen_to_end() {
        let mut child = shell("echo hello; echo ready; read line; echo answer=$line.");
        child.line("ready", DEADLINE).unwrap();
        child.begin().unwrap();
        assert_eq!(child.line("answer=", DEADLINE).unwrap(), ".");
        child.finish(DEADLINE).unwrap();
    }

    #[test]
    fn a_child_that_fails_is_quoted() {
        let child = shell("exec >&-; echo no such luck >&2; exit 3");
        let error = child.finish(DEADLINE).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such luck"), "{error}");
    }

    #[test]
    fn a_child_that_waits_for_ever_is_stopped() {
        let child = shell("trap 'exit 0' TERM; echo ready; while :; do read line || exit 0; done");
        child.line("ready", DEADLINE).unwrap();
        child.stop(DEADLINE).unwrap();
    }
}
