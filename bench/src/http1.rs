//! The smallest HTTP/1.1 reader that can keep a connection alive.
//!
//! Problem: the load generator shares a core with the test servers, so what it spends per answer
//! limits what it can measure. Choice: look for the end of the head, the status, `Content-Length`
//! and `Connection: close`, and skip the body by counting. Rejected: a general HTTP client, which
//! costs more per request than the proxies under test. Limits: `Content-Length` framing only, no
//! chunks and no pipelining. No contender sends chunks here, because the test servers send a length;
//! an answer that does is counted as an error, never misread.

/// The largest head that is accepted, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// One complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code, 100 to 999.
    pub(crate) status: u16,
    /// Whether the peer announced that it closes the connection.
    pub(crate) close: bool,
}

/// An answer that cannot be framed; the connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads answers, one at a time, from bytes in arbitrary pieces.
#[derive(Debug, Default)]
pub(crate) struct AnswerReader {
    head: Vec<u8>,
    body: Option<(Answer, usize)>,
}

/// An answer whose head is complete, the length of its body, and the bytes behind the head.
type Started<'b> = (Answer, usize, &'b [u8]);

// === impl AnswerReader ===

impl AnswerReader {
    /// Takes the next bytes. `Ok(Some)` when they end an answer exactly.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
        let (answer, missing, rest) = match self.body.take() {
            Some((answer, missing)) => (answer, missing, bytes),
            None => match self.feed_head(bytes)? {
                Some(started) => started,
                None => return Ok(None),
            },
        };
        let missing = missing.checked_sub(rest.len()).ok_or(Malformed)?;
        if missing == 0 {
            return Ok(Some(answer));
        }
        self.body = Some((answer, missing));
        Ok(None)
    }

    fn feed_head<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Started<'b>>, Malformed> {
        let kept = self.head.len();
        if kept > 0 {
            self.head.extend_from_slice(bytes);
        }
        let seen = if kept > 0 {
            self.head.as_slice()
        } else {
            bytes
        };
        let Some(end) = head_end(seen) else {
            if seen.len() > MAX_HEAD {
                return Err(Malformed);
            }
            if kept == 0 {
                self.head.extend_from_slice(bytes);
            }
            return Ok(None);
        };
        let (answer, length) = parse_head(seen.get(..end).ok_or(Malformed)?)?;
        let rest = bytes.get(end.saturating_sub(kept)..).ok_or(Malformed)?;
        self.head.clear();
        Ok(Some((answer, length, rest)))
    }
}

/// The offset just behind the blank line that ends a head.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == b'\n') {
        let next = from + at + 1;
        if bytes.get(next..)?.starts_with(b"\r\n") {
            return Some(next + 2);
        }
        from = next;
    }
    None
}

fn parse_head(head: &[u8]) -> Result<(Answer, usize), Malformed> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let status_line = lines.next().ok_or(Malformed)?;
    let status = status_line
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let status = status
        .and_then(decimal)
        .and_then(|status| u16::try_from(status).ok());
    let status = status.ok_or(Malformed)?;
    let mut answer = Answer {
        status,
        close: false,
    };
    let mut length = None;
    for line in lines {
        if let Some(value) = header(line, b"content-length:") {
            length = Some(decimal(value).ok_or(Malformed)?);
        } else if let Some(value) = header(line, b"connection:") {
            answer.close = value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok((answer, length.ok_or(Malformed)?))
}

fn header<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn decimal(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nX: y\r\nContent-length: 5\r\n\r\nhello";

    #[test]
    fn any_split_of_the_bytes_gives_the_same_answer() {
        for cut in 0..HELLO.len() {
            let mut reader = AnswerReader::default();
            let (first, second) = HELLO.split_at(cut);
            assert_eq!(reader.feed(first), Ok(None), "complete too early at {cut}");
            let answer = reader.feed(second).unwrap();
            assert_eq!(
                answer,
                Some(Answer {
                    status: 200,
                    close: false
                }),
                "cut at {cut}"
            );
            assert!(
                reader.feed(HELLO).unwrap().is_some(),
                "not reusable after a cut at {cut}"
            );
        }
    }

    #[test]
    fn close_is_seen_and_an_empty_body_ends_with_the_head() {
        let bytes = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n";
        let answer = AnswerReader::default().feed(bytes).unwrap();
        assert_eq!(
            answer,
            Some(Answer {
                status: 503,
                close: true
            })
        );
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        for bytes in [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
            b"SSH-2.0-x\r\n\r\n",
        ] {
            assert_eq!(AnswerReader::default().feed(bytes), Err(Malformed));
        }
    }
}
