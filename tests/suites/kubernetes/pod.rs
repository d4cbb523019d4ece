//! What the kubelet makes of a pod: its ConfigMaps in directories with a symlink to swap, its environment, its command.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use strata_tests::certs::Authority;
use strata_tests::http;
use strata_tests::process::{Launch, Process, Signal};
use strata_tests::tools;
use tempfile::TempDir;

use crate::objects::{Objects, Workload, list, text};

pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The user and the group of the image.
const USER: u32 = 65532;
const TOKEN: &str = "token-of-the-kubernetes-suite";

/// A pod's files and environment, its listeners on loopback.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) admin: SocketAddr,
    /// Listeners by their names.
    pub(crate) listeners: BTreeMap<String, SocketAddr>,
    program: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// Run as the pod's own user and group, by a copy that this user can reach.
    own: Option<PathBuf>,
    root: TempDir,
}

// === impl Pod ===

impl Pod {
    /// Makes all that the pod's container sees.
    pub(crate) fn new(objects: &Objects, workload: Workload<'_>) -> Result<Self> {
        let root = tempfile::tempdir()?;
        let name = format!("{}-0", text(&workload.object["metadata"]["name"]));
        let mut listeners = BTreeMap::new();
        for mount in list(&workload.container["volumeMounts"]) {
            let path = text(&mount["mountPath"]);
            let dir = inside(root.path(), path);
            std::fs::create_dir_all(&dir)?;
            let volume = workload.volume_at(path).context("no volume")?;
            if volume["secret"].is_object() {
                secret(&dir, text(&volume["secret"]["secretName"]))?;
            } else if volume["configMap"].is_object() {
                let map = workload.config(objects, path).context("no ConfigMap")?;
                let files = files(map)?;
                for text in files.values() {
                    listeners.extend(listeners_of(text)?);
                }
                publish(&dir, "first", &files)?;
            }
        }
        let admin = strata_tests::ports::free()?;
        let mut env = environment(workload, &name, root.path())?;
        for (listener, address) in &listeners {
            let key = listener.to_uppercase().replace('-', "_");
            env.insert(
                format!("LB__LISTENERS__{key}__ADDRESS"),
                address.to_string(),
            );
        }
        env.insert("LB__ADMIN__ADDRESS".to_owned(), admin.to_string());
        let state = inside(root.path(), "/var/lib/strata");
        let state = state.to_string_lossy().into_owned();
        env.insert("LB__STATE__DIRECTORY".to_owned(), state);
        let command: Vec<&str> = list(&workload.container["command"])
            .iter()
            .map(text)
            .collect();
        let [program, args @ ..] = command.as_slice() else {
            bail!("no command");
        };
        let program = program
            .strip_prefix("/usr/bin/")
            .context("not in /usr/bin")?;
        let args = args.iter().map(|arg| translate(root.path(), arg));
        Ok(Self {
            name,
            admin,
            listeners,
            program: program.to_owned(),
            args: args.collect(),
            env,
            own: None,
            root,
        })
    }

    /// Gives files to the superuser, with the group and the modes that the kubelet gives them by `fsGroup`, and runs as the pod's user.
    pub(crate) fn as_its_own_user(&mut self, secrets: u32) -> Result<()> {
        let root = self.root.path();
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o755))?;
        let group = Some(USER);
        let dir = inside(root, "/etc/strata/secrets").join("..data");
        for file in std::fs::read_dir(dir)? {
            let file = file?.path();
            chown(&file, Some(0), group).context("needs root")?;
            std::fs::set_permissions(&file, PermissionsExt::from_mode(secrets))?;
        }
        let state = inside(root, "/var/lib/strata");
        chown(&state, Some(0), group)?;
        std::fs::set_permissions(&state, PermissionsExt::from_mode(0o2770))?;
        let copy = root.join(&self.program);
        std::fs::copy(tools::program(&self.program)?, &copy)?;
        self.own = Some(copy);
        Ok(())
    }

    /// Sets a variable of its environment.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.env.insert(variable.to_owned(), value.to_owned());
    }

    /// What `check` says of its configuration.
    pub(crate) async fn check(&self) -> Result<String> {
        let mut args = self.args.clone();
        let verb = args.first_mut().context("no verb")?;
        ensure!(verb == "run", "{verb}");
        *verb = "check".to_owned();
        self.launch(args)?.run_ok(SOON).await
    }

    /// What it says when it ends instead of serving.
    pub(crate) async fn refusal(&self) -> Result<String> {
        let (status, output) = self.launch(self.args.clone())?.run(SOON).await?;
        ensure!(!status.success(), "it served: {output}");
        Ok(output)
    }

    /// Starts it, and waits until both probes pass.
    pub(crate) async fn start(&self) -> Result<Process> {
        let mut process = self.launch(self.args.clone())?.start()?;
        for path in ["/livez", "/readyz"] {
            process.wait_http(self.admin, path, 200, SOON).await?;
        }
        Ok(process)
    }

    /// Replaces the content of a ConfigMap by a symlink's swap.
    pub(crate) fn swap(&self, mount: &str, files: &BTreeMap<String, String>) -> Result<()> {
        publish(&inside(self.root.path(), mount), "second", files)
    }

    /// Where a path of the container is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        inside(self.root.path(), path)
    }

    /// A part of the status.
    pub(crate) async fn ask(&self, path: &str) -> Result<Value> {
        http::get(self.admin, path).await?.json()
    }

    /// `kubectl exec POD -- /usr/bin/lbctl …`
    pub(crate) async fn lbctl(&self, args: &[&str]) -> Result<String> {
        let launch = Launch::new("lbctl", tools::program("lbctl")?);
        let launch = launch
            .args(["--admin", &self.admin.to_string()])
            .args(args.iter().copied());
        let tokens = self.env.get("LB_TOKEN_FILE").context("no token file")?;
        launch
            .env("LB_TOKEN_FILE", tokens)
            .env("USER", "")
            .run_ok(SOON)
            .await
    }

    fn launch(&self, args: Vec<String>) -> Result<Launch> {
        let mut launch = match &self.own {
            None => Launch::new(&self.name, tools::program(&self.program)?),
            Some(own) => {
                let setpriv = tools::find("setpriv").context("setpriv not found")?;
                let user = USER.to_string();
                let who = ["--reuid", &user, "--regid", &user, "--clear-groups"];
                let none = ["--no-new-privs", "--bounding-set", "-all", "--"];
                Launch::new(&self.name, setpriv)
                    .args(who)
                    .args(none)
                    .arg(own)
            }
        }
        .args(args);
        for (key, value) in &self.env {
            launch = launch.env(key, value);
        }
        Ok(launch)
    }
}

/// Ends it without its lame duck.
pub(crate) async fn stop(mut process: Process) -> Result<()> {
    process.signal(Signal::SIGINT)?;
    let status = process.wait_exit(SOON).await?;
    ensure!(status.success(), "{status}: {}", process.tail());
    Ok(())
}

/// The files of a ConfigMap.
pub(crate) fn files(map: &Value) -> Result<BTreeMap<String, String>> {
    let data = map["data"].as_object().context("no data")?;
    Ok(data
        .iter()
        .map(|(key, value)| (key.clone(), text(value).to_owned()))
        .collect())
}

/// As the kubelet writes a volume: a new directory, a link to it that is replaced by a rename, and links through that for users.
fn publish(dir: &Path, version: &str, files: &BTreeMap<String, String>) -> Result<()> {
    let version = format!("..2026_11_23_{version}");
    std::fs::create_dir(dir.join(&version))?;
    for (name, text) in files {
        std::fs::write(dir.join(&version).join(name), text)?;
    }
    symlink(&version, dir.join("..data_tmp"))?;
    std::fs::rename(dir.join("..data_tmp"), dir.join("..data"))?;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !files.contains_key(&name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    for name in files.keys() {
        if !dir.join(name).is_symlink() {
            symlink(Path::new("..data").join(name), dir.join(name))?;
        }
    }
    Ok(())
}

fn secret(dir: &Path, name: &str) -> Result<()> {
    let files = match name {
        "lb-admin-tokens" => BTreeMap::from([("tokens".to_owned(), format!("{TOKEN}\n"))]),
        "lb-tls" => {
            let made = Authority::new()?.issue(&["test.example"])?;
            BTreeMap::from([
                ("tls.crt".to_owned(), made.cert_pem),
                ("tls.key".to_owned(), made.key_pem),
            ])
        }
        other => bail!("what is in the Secret {other}?"),
    };
    publish(dir, "first", &files)?;
    for file in files.keys() {
        std::fs::set_permissions(dir.join(file), PermissionsExt::from_mode(0o400))?;
    }
    Ok(())
}

/// A container's path below the root; `/etc/strata` and `/var/lib/strata` are all that ours use.
fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn translate(root: &Path, value: &str) -> String {
    let is_path = ["/etc/strata/", "/var/lib/strata"]
        .iter()
        .any(|of| value.starts_with(of));
    if is_path {
        inside(root, value).to_string_lossy().into_owned()
    } else {
        value.to_owned()
    }
}

fn environment(workload: Workload<'_>, pod: &str, root: &Path) -> Result<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    for entry in list(&workload.container["env"]) {
        let from = &entry["valueFrom"];
        let value = if entry["value"].is_string() {
            translate(root, text(&entry["value"]))
        } else if from["fieldRef"]["fieldPath"] == "metadata.name" {
            pod.to_owned()
        } else if let Some(label) = text(&from["fieldRef"]["fieldPath"])
            .strip_prefix("metadata.labels['")
            .and_then(|path| path.strip_suffix("']"))
        {
            // Empty for a label that a pod does not have.
            text(&workload.labels()[label]).to_owned()
        } else if from["resourceFieldRef"]["resource"] == "requests.cpu" {
            cores(text(&workload.container["resources"]["requests"]["cpu"]))?.to_string()
        } else {
            bail!("what is {entry}?")
        };
        env.insert(text(&entry["name"]).to_owned(), value);
    }
    Ok(env)
}

/// Whole cores, rounded up as the divisor 1 does.
fn cores(quantity: &str) -> Result<u64> {
    let milli = quantity.strip_suffix('m').map(str::parse::<u64>);
    Ok(match milli {
        Some(milli) => milli?.div_ceil(1000),
        None => quantity.parse()?,
    })
}

fn listeners_of(config: &str) -> Result<Vec<(String, SocketAddr)>> {
    let config: Value = serde_yaml::from_str(config)?;
    let all = list(&config["listeners"]).iter();
    all.map(|listener| {
        Ok((
            text(&listener["name"]).to_owned(),
            strata_tests::ports::free()?,
        ))
    })
    .collect()
}
