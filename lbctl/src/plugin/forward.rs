//! A port of this machine that leads to a pod's admin listener, as long as the value lives.

use super::kubectl::{Kubectl, Pod, not_run};
use crate::failure::{Exit, Failure};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How long kubectl may take until it forwards.
const SOON: Duration = Duration::from_secs(15);

/// What stands before the address in kubectl's message.
const SAYS: &str = "Forwarding from ";

/// A running `kubectl port-forward`.
#[derive(Debug)]
pub(super) struct Forward {
    child: Child,
    pod: String,
    /// The address, or what kubectl said instead.
    heard: Receiver<Result<SocketAddr, String>>,
}

// === impl Forward ===

impl Forward {
    pub(super) fn start(kubectl: &Kubectl, pod: &Pod) -> Result<Self, Failure> {
        let mut child = kubectl
            .command()
            .args(["port-forward", "--address", "127.0.0.1"])
            .arg(format!("pod/{}", pod.name))
            .arg(format!(":{}", pod.port))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(not_run)?;
        let (said, heard) = channel();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        // Reads on until the end: kubectl says a line for each connection, and would stop at a full pipe.
        std::thread::spawn(move || {
            let lines = out.into_iter().flat_map(|out| BufReader::new(out).lines());
            let mut is_heard = false;
            for line in lines.map_while(Result::ok) {
                if let Some(address) = address(&line).filter(|_| !is_heard) {
                    is_heard = said.send(Ok(address)).is_ok();
                }
            }
            let mut text = String::new();
            let _ = err.map(|mut err| err.read_to_string(&mut text));
            let _ = said.send(Err(text.trim().to_owned()));
        });
        Ok(Self {
            child,
            pod: pod.name.clone(),
            heard,
        })
    }

    /// Where it can be reached.
    pub(super) fn address(&self) -> Result<SocketAddr, Failure> {
        let why = match self.heard.recv_timeout(SOON) {
            Ok(Ok(address)) => return Ok(address),
            Ok(Err(why)) => why,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                format!("no port within {SOON:?}")
            }
        };
        let message = format!("pod {} can't be reached: {why}", self.pod);
        Err(Failure::new(Exit::Unreachable, message)
            .hint("your role needs `create` on pods/portforward"))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line such as `Forwarding from 127.0.0.1:40123 -> 9900`.
fn address(line: &str) -> Option<SocketAddr> {
    let (address, _) = line.strip_prefix(SAYS)?.split_once(" -> ")?;
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_in_kubectl_s_message() {
        let found = address("Forwarding from 127.0.0.1:40123 -> 9900");
        assert_eq!(found, Some(SocketAddr::from(([127, 0, 0, 1], 40123))));
        assert_eq!(address("Handling connection for 40123"), None);
    }
}
