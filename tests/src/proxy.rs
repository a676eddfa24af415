//! A reverse proxy in front of two nodes: nginx or HAProxy, with the file that `deploy/` ships.
//!
//! Only addresses and paths of that file are replaced; what is not found there to be replaced fails the test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use crate::machine::{Folder, Signal, signal, until};

/// A running proxy, ended with the test.
#[derive(Debug)]
pub struct Proxy {
    process: Child,
    addr: SocketAddr,
    /// Its configuration, and what it writes.
    folder: Folder,
}

impl Proxy {
    /// nginx before these nodes, at this address, which [`free_address`] gives.
    pub async fn nginx(at: SocketAddr, nodes: [SocketAddr; 2]) -> Self {
        let folder = Folder::new("nginx");
        let place = |name: &str| folder.path().join(name).display().to_string();
        let file = shipped(
            "nginx.conf",
            &[
                ("127.0.0.1:8081", &nodes[0].to_string()),
                ("127.0.0.1:8082", &nodes[1].to_string()),
                ("listen 80;", &format!("listen {at};")),
                ("/run/nginx.pid", &place("pid")),
                ("/var/log/nginx/error.log", &place("error.log")),
            ],
        );
        let file = folder.file("nginx.conf", &file);
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-g", "daemon off;", "-c", &file]);
        Self::start(command, at, folder).await
    }

    /// HAProxy before these nodes, at this address, which [`free_address`] gives.
    pub async fn haproxy(at: SocketAddr, nodes: [SocketAddr; 2]) -> Self {
        let folder = Folder::new("haproxy");
        let file = shipped(
            "haproxy.cfg",
            &[
                ("127.0.0.1:8081", &nodes[0].to_string()),
                ("127.0.0.1:8082", &nodes[1].to_string()),
                ("bind :80\n", &format!("bind {at}\n")),
            ],
        );
        let file = folder.file("haproxy.cfg", &file);
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f", &file]);
        Self::start(command, at, folder).await
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).expect("its output is in its folder")
    }

    async fn start(mut command: Command, addr: SocketAddr, folder: Folder) -> Self {
        let stderr =
            std::fs::File::create(folder.path().join("stderr")).expect("a folder of ours can be written to");
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap_or_else(
                |error| {
                    panic!("{command:?} (Debian: apt install nginx-light haproxy) does not start: {error}")
                },
            );
        let mut proxy = Self { process, addr, folder };
        until("the proxy listens", async || {
            let ended = proxy.process.try_wait().expect("a child of ours can be waited for");
            assert!(ended.is_none(), "the proxy ended with {ended:?} and said:\n{}", proxy.stderr());
            TcpStream::connect(addr).await.ok()
        })
        .await;
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Asked, not killed: nginx's workers would outlive their master.
        if matches!(self.process.try_wait(), Ok(None)) {
            signal(self.process.id(), Signal::Term);
            self.process.wait().ok();
        }
    }
}

/// An address of loopback that is free now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address")
}

/// A file of `deploy/` with some of its words replaced, each of which stands there.
pub fn shipped(name: &str, replaced: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    replaced.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    })
}
