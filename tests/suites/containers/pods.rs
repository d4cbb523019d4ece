//! Replicas as pods: bootstrap and pools mounted as a kubelet mounts ConfigMaps, the pod's name in the environment, everything taken
//! away that the manifests take away.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use strata_tests::server::Server;
use strata_tests::{eventually, http};

use crate::engine::{End, Engine, IMAGE};

pub(crate) const SOON: Duration = Duration::from_secs(30);
const DATA: u16 = 8080;
const ADMIN: u16 = 9900;
const CALM: &str = "limits: { overload: { enabled: false } }";

/// A Deployment and its headless Service.
#[derive(Debug, Clone)]
pub(crate) struct Tier {
    /// Also the name in DNS.
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    /// Of each pod, as podman writes it.
    memory: &'static str,
    /// The files below `/etc/strata`.
    config: PathBuf,
}

/// A running pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

// === impl Tier ===

impl Tier {
    /// A region with `servers`, which listen on this side of the bridge. Nothing is refused for its load: the machine may be busy with
    /// other tests.
    pub(crate) fn regional(
        engine: &Engine,
        name: &'static str,
        shutdown: &str,
        servers: &[Server],
    ) -> Result<Self> {
        let gateway = engine.gateway()?;
        let listed = servers.iter().map(|server| {
            let address = SocketAddr::new(gateway, server.address().port());
            format!(
                "      - {{ name: {}, address: '{address}' }}\n",
                server.name()
            )
        });
        let pools = format!(
            "routes: [{{ name: all, pool: app }}]\npools:\n  - name: app\n    health_check: {{ http: {{ path: /healthz }}, interval: 1s, timeout: 900ms }}\n    adaptive_concurrency: {{ enabled: false }}\n    servers:\n{}",
            listed.collect::<String>()
        );
        Self::new(
            engine,
            name,
            "regional-lb",
            &format!("region: {name}\n"),
            shutdown,
            &pools,
        )
    }

    /// The tier above, which knows each region by one name.
    pub(crate) fn global(engine: &Engine, shutdown: &str, regions: &[&str]) -> Result<Self> {
        let listed = regions.iter().enumerate().map(|(number, name)| {
            format!(
                "  - name: {name}\n    priority: {}\n    replicas: [{{ name: pods, address: '{name}:{DATA}', admin: '{name}:{ADMIN}' }}]\n",
                number + 1
            )
        });
        let pools = format!(
            "routes: [{{ name: all, regions: {{ policy: priority }} }}]\nregions:\n{}",
            listed.collect::<String>()
        );
        Self::new(engine, "global", "global-lb", "", shutdown, &pools)
    }

    fn new(
        engine: &Engine,
        name: &'static str,
        program: &'static str,
        more: &str,
        shutdown: &str,
        pools: &str,
    ) -> Result<Self> {
        let config = engine.dir().join(format!("config-{name}"));
        for part in ["bootstrap", "pools"] {
            std::fs::create_dir_all(config.join(part))?;
        }
        let bootstrap = format!(
            "name: unknown\n{more}include: [../pools/*.yaml]\nshutdown: {{ {shutdown} }}\n{CALM}\n\
             listeners: [{{ name: web, address: '0.0.0.0:{DATA}', protocols: [http1, h2c] }}]\nadmin: {{ address: '0.0.0.0:{ADMIN}' }}\n\
             trusted_proxies: [10.0.0.0/8]\n"
        );
        std::fs::write(config.join("bootstrap/lb.yaml"), bootstrap)?;
        std::fs::write(config.join("pools/pools.yaml"), pools)?;
        Ok(Self {
            name,
            program,
            memory: "256m",
            config,
        })
    }

    /// With pods of this size that see to their memory, have limits of their own, and trust nobody.
    pub(crate) fn limited(mut self, memory: &'static str, limits: &str) -> Result<Self> {
        self.memory = memory;
        let path = self.config.join("bootstrap/lb.yaml");
        let text = std::fs::read_to_string(&path)?.replace(CALM, limits);
        let text = text.replace("trusted_proxies: [10.0.0.0/8]", "");
        std::fs::write(path, text)?;
        Ok(self)
    }

    /// Starts a pod, and returns when it is ready.
    pub(crate) async fn start(&self, engine: &Engine, number: usize) -> Result<Pod> {
        let name = format!("{}-{number}", self.name);
        let mount = format!("{}:/etc/strata:ro", self.config.display());
        let variable = format!("LB__NAME={name}");
        let program = format!("/usr/bin/{}", self.program);
        #[rustfmt::skip]
        engine.run(&[
            "run", "--detach", "--name", &name, "--network", "pods", "--network-alias", self.name,
            "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--user", "65532:65532",
            "--memory", self.memory, "--cpus", "1", "--env", &variable, "--env", "LB__THREADS=1", "--volume", &mount,
            IMAGE, &program, "run", "--config", "/etc/strata/bootstrap/lb.yaml",
        ])?;
        let pod = Pod {
            address: engine.address(&name, DATA)?,
            admin: engine.address(&name, ADMIN)?,
            name,
        };
        let what = format!("{} ready", pod.name);
        let ready = eventually(SOON, &what, async || {
            let answer = http::get(pod.admin, "/readyz").await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        });
        match ready.await {
            Ok(()) => Ok(pod),
            Err(error) => Err(error.context(engine.log(&pod.name)?)),
        }
    }
}

// === impl Pod ===

impl Pod {
    /// SIGTERM, which is what a kubelet sends.
    pub(crate) fn terminate(&self, engine: &Engine) -> Result<()> {
        engine
            .run(&["kill", "--signal", "TERM", &self.name])
            .map(drop)
    }

    /// Its end within the grace period, after which it is removed: its name leaves DNS.
    pub(crate) async fn gone(self, engine: &Engine, grace: Duration) -> Result<End> {
        let end = eventually(grace, &format!("the end of {}", self.name), async || {
            let end = engine.ended(&self.name)?;
            end.ok_or_else(|| anyhow::anyhow!("it runs"))
        })
        .await?;
        engine.run(&["rm", &self.name])?;
        Ok(end)
    }
}
