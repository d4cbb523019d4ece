//! stub
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
#[derive(Debug)] pub struct ConsecutiveErrors { n: AtomicU32, threshold: u32 }
impl ConsecutiveErrors { pub fn new(threshold: u32) -> Self { Self { n: AtomicU32::new(0), threshold } }
 pub fn success(&self) { if self.n.load(Relaxed) != 0 { self.n.store(0, Relaxed) } }
 pub fn failure(&self) -> bool { let n = self.n.fetch_add(1, Relaxed) + 1; if n >= self.threshold { self.n.store(0, Relaxed); true } else { false } } }
