//! A Redis server of a test's own: started empty on a free port of loopback, keeping nothing, ended with the test.
//!
//! It can be killed, hung and started again on the same port, which is most of what happens to a Redis in life. What
//! happens to the wire in between is for a proxy, not for here.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::machine::{DEADLINE, Folder, Signal, end, ended, signal, until};

/// A free port can be taken by somebody else before Redis has it; then another one is tried.
const PORTS_TRIED_MAX: usize = 5;

/// A running `redis-server`.
#[derive(Debug)]
pub struct RedisServer {
    process: Child,
    port: u16,
    folder: Folder,
}

impl RedisServer {
    /// Starts an empty one and waits until it answers.
    pub async fn start() -> Self {
        let folder = Folder::new("redis");
        for _ in 0..PORTS_TRIED_MAX {
            let port = free_port();
            let mut process = spawn(port, &folder);
            if answers(&mut process, port).await {
                return Self { process, port, folder };
            }
        }
        panic!("redis-server ended at once on {PORTS_TRIED_MAX} ports")
    }

    /// Where it is, as the hub's `redis.url`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1: the same for its whole life, started again or not.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Makes it hang (SIGSTOP): connections stay open and nothing is answered. Returns when it has stopped.
    pub async fn stop_process(&self) {
        signal(self.pid(), Signal::Stop);
        until("redis-server stops", async || (self.state() == 'T').then_some(())).await;
    }

    /// Lets it go on after [`Self::stop_process`] (SIGCONT).
    pub async fn cont(&self) {
        signal(self.pid(), Signal::Cont);
        until("redis-server goes on", async || (self.state() != 'T').then_some(())).await;
    }

    /// Writes all data to a file, which [`Self::start_again`] reads: what comes later is what a crash would lose.
    pub async fn save(&self) {
        let answer = ask(self.port, "SAVE").await;
        assert!(answer.as_ref().is_some_and(|answer| answer.starts_with("+OK")), "SAVE: {answer:?}");
    }

    /// Ends it at once (SIGKILL): connections break, and all data is gone that was not saved.
    pub async fn kill(&mut self) {
        signal(self.pid(), Signal::Kill);
        ended(&mut self.process).await;
    }

    /// Starts it again after [`Self::kill`], with what was saved, else empty, on the same port, and waits until it answers.
    pub async fn start_again(&mut self) {
        let ended = self.process.try_wait().expect("a child of ours can be waited for");
        assert!(ended.is_some(), "redis-server still runs: kill it first");
        self.process = spawn(self.port, &self.folder);
        assert!(
            answers(&mut self.process, self.port).await,
            "redis-server ended at once on port {}",
            self.port
        );
    }

    /// The letter of the process's state in `/proc`: `T` is stopped.
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("redis-server runs");
        // The name before the state stands in parentheses and may have some of its own.
        let after = stat.rsplit_once(") ").expect("the name comes before the state").1;
        after.chars().next().expect("the state is a letter")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

fn spawn(port: u16, folder: &Folder) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
        ])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("redis-server (Debian: apt install redis-server) does not start: {error}")
        })
}

/// Waits until this very process answers on the port; false if it ended instead.
async fn answers(process: &mut Child, port: u16) -> bool {
    until("redis-server answers", async || {
        if process.try_wait().expect("a child of ours can be waited for").is_some() {
            return Some(false);
        }
        // Somebody else's Redis may have got the port first, so the answer must come from ours.
        let process_id = format!("process_id:{}\r\n", process.id());
        (ask(port, "PING").await?.starts_with("+PONG")
            && ask(port, "INFO server").await?.contains(&process_id))
        .then_some(true)
    })
    .await
}

/// The answer to an inline command on a connection of its own, if there is one.
async fn ask(port: u16, command: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let talk = async {
        let mut connection = TcpStream::connect(address).await.ok()?;
        connection.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(DEADLINE, talk).await.ok()?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn pong(server: &RedisServer) -> bool {
        ask(server.port(), "PING").await.is_some_and(|answer| answer.starts_with("+PONG"))
    }

    #[tokio::test]
    async fn it_answers_hangs_goes_on_dies_and_comes_back_empty_on_the_same_port() {
        let mut server = RedisServer::start().await;
        assert!(server.url().ends_with(&format!(":{}", server.port())));
        assert!(ask(server.port(), "SET a 1").await.is_some_and(|answer| answer.starts_with("+OK")));

        server.stop_process().await;
        let silent = tokio::time::timeout(Duration::from_millis(300), pong(&server)).await;
        assert!(silent.is_err(), "a stopped process answered");
        server.cont().await;
        assert!(pong(&server).await);

        let (port, pid) = (server.port(), server.pid());
        server.kill().await;
        assert!(!pong(&server).await);
        server.start_again().await;
        assert!(server.port() == port && server.pid() != pid);
        assert!(ask(port, "GET a").await.is_some_and(|answer| answer.starts_with("$-1")));
    }

    #[tokio::test]
    async fn a_stopped_one_ends_with_its_fixture() {
        let server = RedisServer::start().await;
        let stat = format!("/proc/{}/stat", server.pid());
        server.stop_process().await;
        drop(server);
        assert!(std::fs::metadata(stat).is_err(), "redis-server lives on");
    }
}
