//! A client, made from a kubeconfig or from what Kubernetes gives each pod.

use super::fault::Fault;
use anyhow::Context;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time for a connection, with TLS.
const CONNECT: Duration = Duration::from_secs(2);
/// Time for an answer as a whole.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where the API server is, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// Without one, the environment of a pod.
    kubeconfig: Option<PathBuf>,
}

// === impl Access ===

impl Access {
    /// By a kubeconfig file, which names the server and the user; none: by the environment that Kubernetes gives each pod.
    ///
    /// Nothing is read yet.
    pub(crate) const fn new(kubeconfig: Option<PathBuf>) -> Self {
        Self { kubeconfig }
    }

    /// A new client for the event loop that calls this; it has no connection yet. Its `default_namespace` is the kubeconfig's or
    /// the pod's.
    ///
    /// # Errors
    /// A file is missing or can't be used; the message names it.
    pub(crate) async fn client(&self) -> Result<Client, Fault> {
        let made = async {
            let mut config = self.config().await?;
            config.connect_timeout = Some(CONNECT);
            // Who calls knows better what an answer may take, and when to ask again.
            (config.read_timeout, config.default_retry) = (None, false);
            anyhow::ensure!(
                config.auth_info.exec.is_none() && config.auth_info.auth_provider.is_none(),
                "`exec` and `auth-provider` are not supported: give the user a `tokenFile` or a certificate"
            );
            read_token(&mut config.auth_info)?;
            Ok(Client::try_from(config)?)
        };
        let made: anyhow::Result<Client> = made.await;
        made.map_err(|error| Fault::new(format!("{}: {error:#}", self.name())))
    }

    /// Gives a call the time that an answer may take.
    ///
    /// # Errors
    /// The call's, or that it takes too long.
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(DEADLINE, call).await {
            Ok(done) => done.map_err(Fault::from),
            Err(_) => Err(Fault::new(format!("no answer within {DEADLINE:?}"))),
        }
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let Some(path) = &self.kubeconfig else {
            return Config::incluster_env().context(
                "what Kubernetes gives each pod isn't there (run in a pod with automountServiceAccountToken, or name a kubeconfig)",
            );
        };
        let file = Kubeconfig::read_from(path)?;
        // In whichever part of it: the one from the environment is told from it so.
        let text = serde_json::to_string(&file)?;
        anyhow::ensure!(
            !text.contains("\"proxy-url\":\""),
            "`proxy-url` is not supported"
        );
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(file, &options).await?;
        // The library takes one from the environment, which is the environment's of all programs.
        config.proxy_url = None;
        Ok(config)
    }

    fn name(&self) -> String {
        match &self.kubeconfig {
            Some(path) => path.display().to_string(),
            None => "the pod's service account".to_owned(),
        }
    }
}

/// Reads the token now. Left to the library, a token is as old as a minute, and a line's end in the file makes it invalid.
fn read_token(auth: &mut AuthInfo) -> anyhow::Result<()> {
    let (None, Some(path)) = (&auth.token, auth.token_file.take()) else {
        return Ok(());
    };
    let token = std::fs::read_to_string(Path::new(&path)).with_context(|| path.clone())?;
    auth.token = Some(token.trim().to_owned().into());
    Ok(())
}

#[cfg(test)]
mod tests;
