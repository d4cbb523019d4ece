//! Where the frames of a websocket begin and end, while its bytes stream past.
//!
//! **Problem.** A process that leaves has to say so inside the websockets that it carries: a TCP connection that just
//! ends looks like a crash to both ends (close code 1006), and clients count it as one. What says it is a frame, and a
//! frame of ours in the middle of another one is read as that one's payload.
//!
//! **Choice.** Each direction is followed by its frame headers alone (RFC 6455 §5.2), from the handshake on: lengths of
//! 7, 16 and 64 bits, masks, pieces of any size. Payload is skipped by arithmetic; nothing is kept, decoded or changed,
//! so extensions (compression) make no difference. Between two frames a control frame may be put in, also in the middle of a
//! message of several frames (§5.4).
//!
//! **Rejected.** To parse only when the process leaves: where a frame begins can't be found from the middle of a stream.
//! To end both sides as a websocket endpoint of our own: every message would be decoded and masked anew.
//!
//! **Limits.** What the frames say is not judged, which is the endpoints' business: reserved bits, unknown opcodes and
//! lengths that are not the shortest pass. A length above 2^63 has no meaning (§5.2); from then on there is no boundary.

/// The close code of an end that goes away (RFC 6455 §7.4.1).
pub const GOING_AWAY: u16 = 1001;

const CLOSE: u8 = 0x8;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Follows the frames of one direction.
#[derive(Debug, Clone)]
pub struct FrameTracker {
    state: State,
    /// A whole close frame went by.
    closed: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first byte of a frame.
    Start,
    /// The mask bit and the short length.
    Length { close: bool },
    /// So many bytes of a long length.
    Long { left: u8, value: u64, tail: Tail },
    /// So many bytes of the mask's key.
    Mask { left: u8, payload: u64, close: bool },
    /// So many bytes of payload, one at least.
    Payload { left: u64, close: bool },
    /// Nothing that is known.
    Lost,
}

/// What follows a long length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail {
    masked: bool,
    close: bool,
}

// === impl FrameTracker ===

impl Default for FrameTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameTracker {
    /// Directly behind the handshake: the first frame comes next.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Start,
            closed: false,
        }
    }

    /// Takes the next bytes, in pieces of any size.
    pub fn pass(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.step(rest);
        }
    }

    /// Takes bytes up to the next boundary only and tells how many: 0 when it stands at one. `None`: all were taken, and
    /// the frame goes on.
    pub fn pass_to_boundary(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while !self.is_between_frames() {
            if rest.is_empty() {
                return None;
            }
            rest = self.step(rest);
        }
        Some(bytes.len() - rest.len())
    }

    /// Whether no frame is under way, so that another one may be put in.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Start)
    }

    /// Whether a whole close frame went by: nothing may follow it (§5.5.1).
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes one byte of a header, or as much of a payload as there is; gives back the rest. `bytes` is not empty.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if let State::Payload { left, close } = self.state {
            let there = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
            let skip = usize::try_from(there).unwrap_or(bytes.len());
            self.go_on(left - there, close);
            return bytes.get(skip..).unwrap_or_default();
        }
        let Some((byte, rest)) = bytes.split_first() else {
            return bytes;
        };
        match self.state {
            State::Start => {
                let close = byte & 0x0f == CLOSE;
                self.state = State::Length { close };
            }
            State::Length { close } => self.on_length(*byte, close),
            State::Long { left, value, tail } => self.on_long(left, value, tail, *byte),
            State::Mask {
                left,
                payload,
                close,
            } => self.on_mask(left - 1, payload, close),
            State::Payload { .. } => {}
            State::Lost => return &[],
        }
        rest
    }

    fn on_length(&mut self, byte: u8, close: bool) {
        let masked = byte & MASKED != 0;
        let tail = Tail { masked, close };
        match byte & !MASKED {
            126 => {
                self.state = State::Long {
                    left: 2,
                    value: 0,
                    tail,
                }
            }
            127 => {
                self.state = State::Long {
                    left: 8,
                    value: 0,
                    tail,
                }
            }
            short => self.on_payload(short.into(), tail),
        }
    }

    fn on_long(&mut self, left: u8, value: u64, tail: Tail, byte: u8) {
        let value = (value << 8) | u64::from(byte);
        match left - 1 {
            0 if value > i64::MAX as u64 => self.state = State::Lost,
            0 => self.on_payload(value, tail),
            left => self.state = State::Long { left, value, tail },
        }
    }

    fn on_payload(&mut self, payload: u64, tail: Tail) {
        let Tail { masked, close } = tail;
        if masked {
            self.on_mask(4, payload, close);
        } else {
            self.go_on(payload, close);
        }
    }

    fn on_mask(&mut self, left: u8, payload: u64, close: bool) {
        match left {
            0 => self.go_on(payload, close),
            left => {
                self.state = State::Mask {
                    left,
                    payload,
                    close,
                }
            }
        }
    }

    /// The frame ends when no payload is left.
    fn go_on(&mut self, left: u64, close: bool) {
        if left > 0 {
            self.state = State::Payload { left, close };
            return;
        }
        self.state = State::Start;
        self.closed |= close;
    }
}

/// A close frame with this code. What goes to a server has to be masked by a key that nobody can foresee, and what goes to
/// a client must not be (§5.1).
#[must_use]
pub fn close_frame(code: u16, mask: Option<[u8; 4]>) -> Vec<u8> {
    let code = code.to_be_bytes();
    let length = 2;
    match mask {
        None => [&[FIN | CLOSE, length], &code[..]].concat(),
        Some(key) => {
            let masked: Vec<u8> = code.iter().zip(key).map(|(byte, key)| byte ^ key).collect();
            [&[FIN | CLOSE, MASKED | length], &key[..], &masked].concat()
        }
    }
}

#[cfg(test)]
mod tests;
