//! The admin API as seen from here: one question, several replicas at one time; an order, one replica.
//!
//! A replica is named by `address:port`, or by `unix:/path` for the socket that it has on its own machine.

use crate::args::Options;
use crate::failure::{Exit, Failure};
use crate::token::Token;
use crate::unix;
use serde_json::Value;
use std::time::Duration;

/// Largest answer that is read: some 100,000 servers.
pub(crate) const MAX_ANSWER: u64 = 256 << 20;

/// What one replica answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The admin address that was asked.
    pub(crate) admin: String,
    /// The answer's JSON, untouched, so that fields that we don't know reach `--output json`.
    pub(crate) result: Result<Value, Failure>,
}

/// What is sent along with an order.
#[derive(Debug)]
pub(crate) struct Post {
    /// JSON.
    pub(crate) body: String,
    /// Shows that the sender may. Not sent to a unix socket, whose file mode says who may.
    pub(crate) token: Option<Token>,
}

/// Asks replicas.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    admins: Vec<String>,
    timeout: Duration,
}

// === impl Client ===

impl Client {
    /// A client of the replicas that the command line names.
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let admins = options
            .admin
            .iter()
            .map(|text| authority(text))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::of(admins, options.timeout))
    }

    /// A client of `admins`, each `address:port`.
    pub(crate) fn of(admins: Vec<String>, timeout: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("lbctl/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            admins,
            timeout,
        }
    }

    /// The same client for other replicas, with at most `timeout` for each.
    pub(crate) fn with(&self, admins: Vec<String>, timeout: Duration) -> Self {
        Self::of(admins, self.timeout.min(timeout))
    }

    /// The replicas, as the command line names them.
    pub(crate) fn admins(&self) -> &[String] {
        &self.admins
    }

    /// Asks all replicas at one time; the answers are in the order of the command line.
    pub(crate) fn ask_all(&self, path: &str) -> Vec<Answer> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = self
                .admins
                .iter()
                .map(|admin| (admin, scope.spawn(move || self.ask(admin, path))))
                .collect();
            asked
                .into_iter()
                .map(|(admin, thread)| Answer {
                    admin: admin.clone(),
                    result: thread.join().unwrap_or_else(|_panic| {
                        Err(Failure::new(
                            Exit::Failed,
                            "the question could not be asked",
                        ))
                    }),
                })
                .collect()
        })
    }

    fn ask(&self, admin: &str, path: &str) -> Result<Value, Failure> {
        let (status, body) = self.get(admin, path)?;
        let value = serde_json::from_str::<Value>(&body);
        match (status, value) {
            (200, Ok(value)) => Ok(value),
            (200, Err(error)) => Err(Failure::new(
                Exit::Failed,
                format!("{admin} answered no JSON: {error}"),
            )
            .hint("is this the admin address, or one that serves users?")),
            (status, value) => Err(refused(admin, path, status, value.ok().as_ref())),
        }
    }

    /// Status and body of a GET.
    pub(crate) fn get(&self, admin: &str, path: &str) -> Result<(u16, String), Failure> {
        self.exchange(admin, path, None)
    }

    /// Status and body of a POST.
    pub(crate) fn post(
        &self,
        admin: &str,
        path: &str,
        post: &Post,
    ) -> Result<(u16, String), Failure> {
        self.exchange(admin, path, Some(post))
    }

    fn exchange(
        &self,
        admin: &str,
        path: &str,
        post: Option<&Post>,
    ) -> Result<(u16, String), Failure> {
        if let Some(socket) = admin.strip_prefix(unix::SCHEME) {
            return unix::exchange(socket, path, post, self.timeout);
        }
        let failed = |error: ureq::Error| self.failed(admin, &error);
        let url = format!("http://{admin}{path}");
        let answer = match post {
            None => self.agent.get(url).call(),
            Some(post) => {
                let mut request = self
                    .agent
                    .post(url)
                    .header("content-type", "application/json")
                    .header("x-lb-request", "1");
                if let Some(token) = &post.token {
                    request = request.header("authorization", token.bearer());
                }
                request.send(&post.body)
            }
        };
        let mut response = answer.map_err(failed)?;
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_string()
            .map_err(failed)?;
        Ok((response.status().as_u16(), body))
    }

    fn failed(&self, admin: &str, error: &ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                unreachable(admin, "it can't be reached in time")
            }
            ureq::Error::Timeout(_) => late(admin, self.timeout),
            ureq::Error::Io(error) => unreachable(admin, &error.to_string()),
            error @ (ureq::Error::HostNotFound | ureq::Error::ConnectionFailed) => {
                unreachable(admin, &error.to_string())
            }
            error => Failure::new(Exit::Failed, format!("asking {admin}: {error}")),
        }
    }
}

/// Nobody listens at `admin`.
pub(crate) fn unreachable(admin: &str, what: &str) -> Failure {
    Failure::new(
        Exit::Unreachable,
        format!("no admin listener at {admin}: {what}"),
    )
    .hint("is the replica up? --admin or LB_ADMIN names its `admin.address`")
}

/// Somebody listens at `admin` and doesn't answer.
pub(crate) fn late(admin: &str, timeout: Duration) -> Failure {
    Failure::new(
        Exit::Partial,
        format!("{admin} did not answer within {timeout:?}"),
    )
    .hint("--timeout gives it longer")
}

/// The replica's own words on why it did not do what it was asked.
pub(crate) fn refused(admin: &str, path: &str, status: u16, body: Option<&Value>) -> Failure {
    let text = |key: &str| body.and_then(|b| b.get(key)).and_then(Value::as_str);
    let reason = text("error").unwrap_or("no reason given");
    let failure = Failure::new(Exit::Failed, format!("{admin}{path}: {reason} ({status})"));
    match text("hint") {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// `address:port` out of what an operator writes, or `unix:/path` as it is.
fn authority(text: &str) -> Result<String, Failure> {
    if let Some(path) = text.trim().strip_prefix(unix::SCHEME) {
        let is_path = path.starts_with('/');
        return is_path.then(|| text.trim().to_owned()).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("\"{text}\" is not a socket's path"))
                .hint("write unix:/path, such as unix:/run/strata/admin.sock")
        });
    }
    let bare = text
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let port = bare
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() || bare.contains(['/', '@', '?', '#', ' ']) {
        return Err(
            Failure::new(Exit::Usage, format!("\"{text}\" is not an admin address"))
                .hint("write address:port, such as 127.0.0.1:9900 or [::1]:9900, or unix:/path"),
        );
    }
    Ok(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_addresses_need_a_port() {
        for (good, is) in [
            ("127.0.0.1:9900", "127.0.0.1:9900"),
            ("http://[::1]:9900/", "[::1]:9900"),
            (" lb-0.lb:9900", "lb-0.lb:9900"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            assert_eq!(authority(good).unwrap(), is);
        }
        for bad in [
            "",
            "localhost",
            "a:b",
            "a:99999",
            "a:1/x",
            "u@a:1",
            "unix:a",
        ] {
            assert_eq!(authority(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn a_closed_port_is_unreachable() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let client = Client::of(vec![port.to_string()], Duration::from_secs(5));
        let answers = client.ask_all("/livez");
        assert_eq!(
            answers[0].result.as_ref().unwrap_err().exit,
            Exit::Unreachable
        );
    }

    #[test]
    fn a_silent_replica_is_a_timeout() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = silent.local_addr().unwrap().to_string();
        let client = Client::of(vec![admin], Duration::from_millis(50));
        let failure = client.ask_all("/livez").remove(0).result.unwrap_err();
        assert_eq!(failure.exit, Exit::Partial, "{failure}");
    }
}
