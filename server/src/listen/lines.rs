//! The lines of the requests on a connection, looked at before an HTTP parser that forgives what must not be forgiven.
//!
//! hyper takes a line that ends without CR, and keeps one length of several, or none beside `Transfer-Encoding`. Each is
//! allowed by itself; but a proxy in front of us that reads the same bytes otherwise would see other requests than we
//! do, and pass one that it never judged. So whoever answers a request asks here first.
//!
//! Only heads are counted: what follows a request that has a body is not understood, and nothing is asked about it, for
//! such a request is the last of its connection.

/// Longer names of headers are of no interest.
const NAME_BYTES_MAX: usize = 18;

/// What was read on one connection so far.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Requests whose head has ended.
    heads: u32,
    /// The first thing that was wrong, and in which head.
    flaw: Option<(u32, &'static str)>,
    /// The line that has begun: its first bytes, its length, its last byte.
    name: [u8; NAME_BYTES_MAX],
    length: usize,
    last: u8,
    /// Of the head that has begun.
    lines: u32,
    lengths: u32,
    encodings: u32,
}

impl Lines {
    /// Takes what was read.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else {
                if let Some(place) = self.name.get_mut(self.length) {
                    *place = byte;
                }
                self.length += 1;
            }
            self.last = byte;
        }
    }

    /// What is wrong with the lines of a request, counted from 0 on its connection.
    pub(crate) fn flaw_of(&self, request: u32) -> Option<&'static str> {
        self.flaw.filter(|(head, _)| *head == request).map(|(_, flaw)| flaw)
    }

    fn end_line(&mut self) {
        let is_whole = self.last == b'\r' && self.length > 0;
        let length = self.length - usize::from(is_whole);
        if !is_whole {
            self.note("a line must end with CR LF");
        }
        if length > 0 {
            self.lines += 1;
            self.count(length);
        } else if self.lines > 0 {
            // Empty lines before a request are passed over, by hyper as well.
            self.heads += 1;
            (self.lines, self.lengths, self.encodings) = (0, 0, 0);
        }
        self.length = 0;
    }

    fn count(&mut self, length: usize) {
        let start = &self.name[..length.min(NAME_BYTES_MAX)];
        let name = start.iter().position(|byte| *byte == b':').map_or(&start[..0], |end| &start[..end]);
        if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encodings += 1;
        }
        if self.lengths + self.encodings > 1 {
            self.note("the length of a body must be said once, in one way");
        }
    }

    fn note(&mut self, flaw: &'static str) {
        self.flaw.get_or_insert((self.heads, flaw));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Lines {
        let mut lines = Lines::default();
        lines.feed(text.as_bytes());
        let mut dripped = Lines::default();
        for byte in text.bytes() {
            dripped.feed(&[byte]);
        }
        assert_eq!((lines.flaw, lines.heads), (dripped.flaw, dripped.heads), "{text:?}");
        lines
    }

    #[test]
    fn what_is_read_in_one_way_only_has_no_flaw() {
        for text in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 5\r\n\r\n",
        ] {
            let lines = read(text);
            assert_eq!((lines.heads, lines.flaw_of(0)), (1, None), "{text:?}");
        }
    }

    #[test]
    fn what_two_parties_may_read_differently_is_noted() {
        for text in [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 5\r\nX: y\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(read(text).flaw_of(0).is_some(), "{text:?}");
        }
    }

    #[test]
    fn a_flaw_is_of_its_own_request() {
        let lines = read("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /2 HTTP/1.1\nHost: h\r\n\r\n");
        assert_eq!((lines.flaw_of(0), lines.heads), (None, 2));
        assert!(lines.flaw_of(1).is_some());
        let lines = read("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\na\nb\n");
        assert_eq!(lines.flaw_of(0), None, "a body is no line");
    }
}
