//! Body bytes whose place can be recognised.
//!
//! **Problem.** A body of zeros arrives "intact" even when a proxy swaps, repeats or drops pieces of it, or gives one
//! user the bytes of another.
//!
//! **Choice.** Bytes are cut from one fixed pseudo-random block of prime length, starting at a place given by a seed
//! (a hash of the request id). Making a chunk is a reference into the block and checking it is a `memcmp`, so bodies of gigabytes
//! are cheap even in a debug build.
//!
//! **Limits.** A piece moved by an exact multiple of 65,521 bytes goes unnoticed; no buffer has that size.

use std::sync::OnceLock;

use bytes::Bytes;

/// Length of the block, a prime, and the longest chunk.
pub const BLOCK: usize = 65_521;

/// Checks that bytes arrive in the right order from the start.
#[derive(Debug, Clone)]
pub struct Checker {
    seed: u64,
    seen: u64,
    intact: bool,
}

/// Seed for a request id (FNV-1a, so that it is the same in each process).
pub fn seed(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Up to `len` bytes (at most [`BLOCK`]) of the pattern of `seed`, from `offset` on.
pub fn chunk(seed: u64, offset: u64, len: usize) -> Bytes {
    let start = start_of(seed, offset);
    doubled().slice(start..start + len.min(BLOCK))
}

/// The whole pattern of `seed`, `len` bytes, in memory.
pub fn whole(seed: u64, len: usize) -> Bytes {
    if len <= BLOCK {
        return chunk(seed, 0, len);
    }
    let mut all = Vec::with_capacity(len);
    while all.len() < len {
        let piece = chunk(seed, all.len() as u64, len - all.len());
        all.extend_from_slice(&piece);
    }
    Bytes::from(all)
}

fn start_of(seed: u64, offset: u64) -> usize {
    let block = BLOCK as u64;
    usize::try_from((seed % block + offset % block) % block).unwrap_or(0)
}

fn doubled() -> &'static Bytes {
    static DOUBLED: OnceLock<Bytes> = OnceLock::new();
    DOUBLED.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block = Vec::with_capacity(2 * BLOCK);
        for _ in 0..BLOCK {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.push((state >> 32) as u8);
        }
        block.extend_from_within(..);
        Bytes::from(block)
    })
}

// === impl Checker ===

impl Checker {
    /// Expects the pattern of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            seen: 0,
            intact: true,
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let expected = chunk(self.seed, self.seen, bytes.len());
            let (head, rest) = bytes.split_at(expected.len());
            self.intact &= head == &expected[..];
            self.seen += head.len() as u64;
            bytes = rest;
        }
    }

    /// Bytes so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether each byte was the expected one.
    pub fn is_intact(&self) -> bool {
        self.intact
    }
}
