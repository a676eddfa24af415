//! The connections that a worker holds, by number, for whoever has to end them from outside.
//!
//! Code that computes there and never comes back holds a worker's thread, and with it every socket there. Nobody else can
//! write to those, for the worker may have been in the middle of a frame, nor close them; but a socket can be shut down from
//! anywhere by its descriptor's number. A number means another socket as soon as its own is closed: so each is struck off
//! before that, under the lock that is held while they are ended. No second descriptor is needed, and no right.

use nix::sys::socket::{Shutdown, shutdown};
use std::{
    collections::HashSet,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One worker's connections, each once.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    /// Guards numbers; held for a line each, and once for as long as it takes to end them all.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    descriptors: HashSet<RawFd>,
    /// Whoever comes now is ended at once.
    is_over: bool,
}

/// A connection's line on the roll; dropping it strikes it off, which has to come before the connection is closed.
#[derive(Debug)]
pub(crate) struct Listed {
    roll: Arc<Roll>,
    descriptor: RawFd,
}

impl Roll {
    /// Lists a connection for as long as the line is kept.
    pub(crate) fn list(self: &Arc<Self>, socket: &impl AsRawFd) -> Listed {
        let descriptor = socket.as_raw_fd();
        self.enter(descriptor);
        Listed { roll: Arc::clone(self), descriptor }
    }

    /// Lists a connection until it is struck off.
    pub(crate) fn enter(&self, descriptor: RawFd) {
        let mut held = self.held();
        held.descriptors.insert(descriptor);
        if held.is_over {
            end(descriptor);
        }
    }

    /// A connection is about to be closed.
    pub(crate) fn strike_off(&self, descriptor: RawFd) {
        self.held().descriptors.remove(&descriptor);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.held().descriptors.len()
    }

    /// Ends every connection, and each that still comes. The clients see an end without a close. How many there were.
    pub(crate) fn end(&self) -> usize {
        let mut held = self.held();
        held.is_over = true;
        for descriptor in &held.descriptors {
            end(*descriptor);
        }
        held.descriptors.len()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(descriptor: RawFd) {
    // One that cannot be shut down has ended by itself.
    shutdown(descriptor, Shutdown::Both).ok();
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.roll.strike_off(self.descriptor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        (listener.accept().unwrap().0, client)
    }

    /// Whether the client has been told that it is over.
    fn has_ended(mut client: &TcpStream) -> bool {
        matches!(client.read(&mut [0]), Ok(0))
    }

    #[test]
    fn all_that_are_listed_are_ended_and_each_that_comes_later_and_nobody_else() {
        let roll = Arc::<Roll>::default();
        let [(one, ones), (gone, gones), (late, lates)] = [pair(), pair(), pair()];
        let _one = roll.list(&one);
        drop(roll.list(&gone));
        assert_eq!((roll.len(), roll.end()), (1, 1));
        assert!(has_ended(&ones) && !has_ended(&gones));
        let _late = roll.list(&late);
        assert!(has_ended(&lates));
    }
}
