//! Following an etcd: a reading, then a watch from there on, until something breaks.

use super::wire::{self, Frame};
use super::{Etcd, READ};
use crate::clock;
use crate::state::{Orders, Source};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rand::RngExt;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// First pause after a fault, and longest; each is off by up to a half.
const PAUSE: Duration = Duration::from_millis(200);
const MOST_PAUSE: Duration = Duration::from_secs(5);
/// Most bytes of one message of a watch.
const MOST_BYTES: usize = 16 << 20;

/// Messages of a stream, which may be cut anywhere.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

// === impl Etcd ===

impl Etcd {
    /// Follows for ever.
    pub(super) async fn follow(&self, orders: &Orders) {
        let mut pause = PAUSE;
        loop {
            let since = clock::now();
            if let Err(error) = self.follow_once(orders).await {
                self.fail(error);
                self.client.next();
            }
            // Who was away for long is not hurried by having been well before.
            if clock::now().since(since) > MOST_PAUSE {
                pause = PAUSE;
            }
            let factor = clock::with_rng(|rng| rng.random_range(0.5..1.5));
            tokio::time::sleep(pause.mul_f64(factor)).await;
            pause = (pause * 2).min(MOST_PAUSE);
        }
    }

    /// Returns without a fault when the revision is gone, and everything has to be read again.
    async fn follow_once(&self, orders: &Orders) -> Result<(), String> {
        let revision = self.read(orders).await?;
        orders.catch_up().await;
        let request = wire::watch(&self.prefix, revision + 1);
        let mut stream = self.client.stream("/v3/watch", &request).await?;
        let mut lines = Lines::default();
        let mut ticks = tokio::time::interval(READ);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        loop {
            tokio::select! {
                chunk = next(&mut stream) => {
                    lines.0.extend_from_slice(&chunk?);
                    while let Some(frame) = lines.take()? {
                        if self.on_frame(orders, &frame)? {
                            log::info!("state: revision {revision} of etcd is compacted; reading anew");
                            return Ok(());
                        }
                    }
                    orders.catch_up().await;
                }
                _ = ticks.tick() => {
                    self.read(orders).await?;
                    orders.catch_up().await;
                }
            }
        }
    }

    /// True when the watch is over because its revision is gone.
    fn on_frame(&self, orders: &Orders, frame: &Frame) -> Result<bool, String> {
        if let Some(error) = &frame.error {
            return Err(format!("etcd ends the watch: {}", error.message));
        }
        let Some(result) = &frame.result else {
            return Ok(false);
        };
        if result.canceled {
            if result.compact_revision > 0 {
                return Ok(true);
            }
            return Err(format!("etcd cancels the watch: {}", result.cancel_reason));
        }
        let puts = result.events.iter().filter(|event| !event.is_delete());
        let records = puts.filter_map(|event| self.record(&event.kv));
        orders.adopt(records, Source::Kept);
        self.hear();
        Ok(false)
    }
}

async fn next(stream: &mut Incoming) -> Result<bytes::Bytes, String> {
    loop {
        match stream.frame().await {
            None => return Err("etcd ended the watch".to_owned()),
            Some(Err(error)) => return Err(format!("the watch of etcd broke off: {error}")),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(data);
                }
            }
        }
    }
}

// === impl Lines ===

impl Lines {
    /// The next message that is there as a whole.
    fn take(&mut self) -> Result<Option<Frame>, String> {
        let Some(end) = self.0.iter().position(|byte| *byte == b'\n') else {
            if self.0.len() > MOST_BYTES {
                return Err("a message of etcd is too long".to_owned());
            }
            return Ok(None);
        };
        let line: Vec<u8> = self.0.drain(..=end).collect();
        let frame = serde_json::from_slice(&line);
        frame
            .map(Some)
            .map_err(|error| format!("a message of etcd can't be read: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_whole_wherever_the_stream_is_cut() {
        let text = b"{\"result\":{\"created\":true}}\n{\"result\":{\"canceled\":true,\"compact_revision\":\"4\"}}\n";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut seen = 0;
            for part in [&text[..cut], &text[cut..]] {
                lines.0.extend_from_slice(part);
                while let Some(frame) = lines.take().unwrap() {
                    seen += 1;
                    let result = frame.result.unwrap();
                    assert_eq!(result.canceled, seen == 2);
                    assert_eq!(result.compact_revision, if seen == 2 { 4 } else { 0 });
                }
            }
            assert_eq!(seen, 2, "cut at {cut}");
        }
        let mut lines = Lines(b"{\n".to_vec());
        assert!(lines.take().is_err());
    }
}
