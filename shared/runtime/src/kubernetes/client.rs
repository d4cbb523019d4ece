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
        let has_proxy = |file: &Kubeconfig| {
            let clusters = file.clusters.iter();
            let mut proxies =
                clusters.filter_map(|named| named.cluster.as_ref()?.proxy_url.as_ref());
            proxies.any(|url| !url.is_empty())
        };
        anyhow::ensure!(!has_proxy(&file), "`proxy-url` is not supported");
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
mod tests {
    use super::*;

    fn kubeconfig(user: &str, more: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{ name: k, cluster: {{ server: \"http://127.0.0.1:1\"{more} }} }}]\n\
             users: [{{ name: u, user: {{ {user} }} }}]\n\
             contexts: [{{ name: c, context: {{ cluster: k, user: u, namespace: lb }} }}]\n"
        )
    }

    async fn made(user: &str, more: &str) -> Result<Client, Fault> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, kubeconfig(user, more)).unwrap();
        std::fs::write(dir.path().join("token"), "secret\n").unwrap();
        Access::new(Some(path)).client().await
    }

    #[tokio::test]
    async fn a_kubeconfig_is_enough_and_says_what_it_lacks() {
        let client = made("tokenFile: token", "").await.unwrap();
        assert_eq!(client.default_namespace(), "lb");
        let missing = made("tokenFile: nowhere", "").await.err().unwrap();
        assert!(missing.to_string().contains("nowhere"), "{missing}");
        let runs = "exec: { apiVersion: client.authentication.k8s.io/v1, command: aws }";
        let refused = made(runs, "").await.err().unwrap();
        assert!(refused.to_string().contains("`exec`"), "{refused}");
        let refused = made("token: a", ", proxy-url: \"http://p:1\"").await;
        assert!(refused.err().unwrap().to_string().contains("`proxy-url`"));
        let nothing = Access::new(Some("/nowhere/config".into())).client().await;
        assert!(
            nothing
                .err()
                .unwrap()
                .to_string()
                .contains("/nowhere/config")
        );
    }

    #[tokio::test]
    async fn outside_of_a_pod_it_says_so() {
        let error = Access::new(None).client().await.err().unwrap();
        assert!(
            error.to_string().contains("KUBERNETES_SERVICE_HOST")
                || error.to_string().contains("pod"),
            "{error}"
        );
    }
}
