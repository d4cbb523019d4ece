//! Two regions under users of every kind.

use std::path::Path;

use anyhow::Result;
use strata_tests::topology::{Platform, Topology};
use strata_tests::users::Servers;

const CALM: &str = "limits: { overload: { enabled: false } }\n";

/// Two regions of two replicas, before servers for all kinds of users.
pub(crate) struct Stage {
    pub(crate) platform: Platform,
    _servers: Servers,
}

// === impl Stage ===

impl Stage {
    /// With `route` as one more line of both global routes.
    pub(crate) async fn start(
        globals: usize,
        shutdown: &'static str,
        route: &'static str,
    ) -> Result<Self> {
        Self::start_from(None, globals, shutdown, route).await
    }

    /// The same with the programs of another directory.
    pub(crate) async fn start_from(
        programs: Option<&Path>,
        globals: usize,
        shutdown: &'static str,
        route: &'static str,
    ) -> Result<Self> {
        let servers = Servers::start().await?;
        let plan = Topology::two_tier()
            .globals(globals)
            .regions(2, 2, 2)
            .tune_global(move |file| {
                shutdown.clone_into(&mut file.front.shutdown);
                route.clone_into(&mut file.route_extra);
            })
            .tune_regional(move |file| shutdown.clone_into(&mut file.front.shutdown));
        let plan = match programs {
            // Two builds on the cores of one desk: what sheds is not what is asked about.
            Some(programs) => plan
                .programs(programs)
                .tune_regional(|file| file.extra += CALM)
                .tune_global(|file| file.extra += CALM),
            None => plan,
        };
        Ok(Self {
            platform: servers.behind(plan).start().await?,
            _servers: servers,
        })
    }
}
