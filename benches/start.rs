//! The start line: a program says `ready` and goes on serving its sockets until a line comes on standard input.
//!
//! So the one who measures can read a server's CPU time at the very beginning of the sending phase. Standard input
//! waits in the program's own epoll. What cannot wait there (a file, `/dev/null`) counts as a line that is there
//! already, so that the programs can be run by hand without a pipe.

use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// The token under which standard input reports.
pub const START: Token = Token(usize::MAX - 1);

/// Whether there is something to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// An event with the token [`START`] will come.
    OnLine,
    /// Start at once.
    Now,
}

/// Says `ready`, and asks for an event when somebody answers.
///
/// # Errors
///
/// When standard input cannot be watched for another reason than that it always has something to say.
#[expect(clippy::print_stdout, reason = "the word is this function's purpose")]
pub fn announce(registry: &Registry) -> io::Result<Start> {
    let stdin = io::stdin().as_raw_fd();
    let start = match registry.register(&mut SourceFd(&stdin), START, Interest::READABLE) {
        Ok(()) => Start::OnLine,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Start::Now,
        Err(error) => return Err(error),
    };
    println!("ready");
    Ok(start)
}

/// Takes the line that came and stops listening for another.
///
/// # Errors
///
/// When standard input cannot be read.
pub fn begin(registry: &Registry) -> io::Result<()> {
    let stdin = io::stdin();
    let fd = stdin.as_raw_fd();
    registry.deregister(&mut SourceFd(&fd))?;
    stdin.lock().read(&mut [0; 64]).map(drop)
}
