//! Clients that retry hard: each failed try is followed by another one after a short pause, several times.
//!
//! The open-loop load of the suites never sends a request again, which is right for measuring a proxy, and wrong for
//! measuring a retry storm. Each try has an id of its own: towards the proxy it is a request like any other, so
//! what proxies add is arrivals at servers ÷ tries of clients.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use http::Request;
use strata_tests::http::{Dial, empty};
use strata_tests::server::TEST_ID;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How clients behave.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Where they connect, in turn.
    pub targets: Vec<SocketAddr>,
    /// Users' requests per second, retries not counted.
    pub rate: f64,
    /// Tries of each request, the first one included.
    pub tries: u32,
    /// Pause before each further try.
    pub pause: Duration,
    /// A try is given up after this.
    pub patience: Duration,
}

/// One try.
#[derive(Debug, Clone, Copy)]
pub struct Try {
    /// When it was sent, from the begin of the storm.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// Whether it was answered well.
    pub is_good: bool,
    /// Whether it is the first of its request.
    pub is_first: bool,
}

/// Clients at work until [`Storming::stop`].
#[derive(Debug)]
pub struct Storming {
    begin: Instant,
    tries: Arc<Mutex<Vec<Try>>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

// === impl Storm ===

impl Storm {
    /// Starts in the background.
    pub fn start(self) -> Storming {
        let begin = Instant::now();
        let tries: Arc<Mutex<Vec<Try>>> = Arc::default();
        let stop = watch::Sender::new(false);
        let task = tokio::spawn(self.run(begin, tries.clone(), stop.subscribe()));
        Storming {
            begin,
            tries,
            stop,
            task,
        }
    }

    async fn run(
        self,
        begin: Instant,
        book: Arc<Mutex<Vec<Try>>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let storm = Arc::new(self);
        let mut users = JoinSet::new();
        for number in 0_u64.. {
            let due = begin + Duration::from_secs_f64(number as f64 / storm.rate);
            tokio::select! {
                biased;
                _ = stop.wait_for(|is_stopped| *is_stopped) => break,
                () = sleep_until(due) => {}
            }
            while users.try_join_next().is_some() {}
            users.spawn(storm.clone().user(number, begin, book.clone()));
        }
        while users.join_next().await.is_some() {}
    }

    async fn user(self: Arc<Self>, number: u64, begin: Instant, book: Arc<Mutex<Vec<Try>>>) {
        for attempt in 0..self.tries {
            let at = begin.elapsed();
            let answered = timeout(self.patience, self.ask(number, attempt)).await;
            let is_good = matches!(answered, Ok(Ok(200..400)));
            book.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Try {
                    at,
                    took: begin.elapsed().saturating_sub(at),
                    is_good,
                    is_first: attempt == 0,
                });
            if is_good {
                return;
            }
            sleep(self.pause).await;
        }
    }

    async fn ask(&self, number: u64, attempt: u32) -> Result<u16> {
        let turn = usize::try_from(number).unwrap_or_default() + attempt as usize;
        let target = self.targets.get(turn % self.targets.len().max(1)).copied();
        let target = target.ok_or_else(|| anyhow::anyhow!("nowhere to connect to"))?;
        let request = Request::get("/")
            .header(TEST_ID, format!("storm-{number}-{attempt}"))
            .body(empty())?;
        Ok(Dial::http1(target).send(request).await?.status)
    }
}

// === impl Storming ===

impl Storming {
    /// When it began.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// Ends it, waits for the tries under way, and gives the account in the order of sending.
    pub async fn stop(self) -> Vec<Try> {
        self.stop.send_replace(true);
        // Fails only when the task panicked; what is in the book then is still true.
        let _ = self.task.await;
        let mut tries = self
            .tries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        tries.sort_by_key(|one| one.at);
        tries
    }
}
