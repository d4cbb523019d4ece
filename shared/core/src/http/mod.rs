//! What of HTTP is a decision: which requests are refused, whom to believe, what travels on.
//!
//! No parser and no I/O: requests are still read and written by the loop that carries them. What is
//! here looks at bytes and header maps and answers.

pub mod chunk;
pub mod fault;
pub mod forward;
pub mod h2;
pub mod head;
pub mod tier;
pub mod websocket;

#[cfg(test)]
mod testing {
    /// Random numbers that count up.
    #[derive(Debug)]
    pub(super) struct Counter(pub(super) u64);

    impl rand::TryRng for Counter {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.try_next_u64().map(|n| n as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            let n = self.0;
            self.0 = n.wrapping_add(1);
            Ok(n)
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
            out.fill(0);
            Ok(())
        }
    }
}
