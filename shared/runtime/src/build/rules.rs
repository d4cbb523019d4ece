//! A route of the configuration, ready to be followed.

use super::Site;
use crate::metrics::RouteMetrics;
use crate::plan::{Action, FaultRule, MirrorRule, Rule};
use crate::upstream::Pool;
use http::HeaderValue;
use lb_core::config::model::{Limits, Route};
use lb_core::retry::Rules;
use lb_core::route::edit::HeaderPlan;
use lb_core::route::target::{PrefixRewrite, RedirectPlan};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Copies of one route that may be under way.
const COPIES: usize = 64;

pub(super) fn rule(
    route: &Route,
    action: Option<(Action, String)>,
    pools: &[Arc<Pool>],
    limits: &Limits,
    site: &Site,
) -> Result<Rule, String> {
    let fault =
        |what: &str, why: &dyn std::fmt::Display| format!("route {}: {what}{why}", route.name);
    let (action, pool) = match (&route.redirect, action) {
        (Some(redirect), _) => {
            let plan = RedirectPlan::new(redirect).map_err(|error| fault("", &error))?;
            (Action::Redirect(plan), String::new())
        }
        (None, Some(action)) => action,
        (None, None) => return Err(fault("leads nowhere: ", &"give it a pool or a redirect")),
    };
    let rewrite_host = route
        .rewrite
        .host
        .as_deref()
        .map(HeaderValue::try_from)
        .transpose();
    let max_body = route.max_body.or(limits.max_body).map(|size| size.get());
    Ok(Rule {
        name: route.name.to_string(),
        action,
        timeouts: (&route.timeouts).into(),
        retry: Rules::new(&route.retry),
        budget: site.budget(route.name.as_str(), &route.retry),
        rate_limit: route
            .rate_limit
            .as_ref()
            .map(|limit| site.rate_limiter(route.name.as_str(), limit)),
        max_body,
        fault: fault_rule(route, site),
        mirror: mirror_rule(route, pools, site),
        rewrite: PrefixRewrite::new(route).map_err(|error| fault("", &error))?,
        rewrite_host: rewrite_host.map_err(|error| fault("rewrite.host: ", &error))?,
        request_edits: HeaderPlan::new(&route.request_headers)
            .map_err(|error| fault("request_headers: ", &error))?,
        response_edits: HeaderPlan::new(&route.response_headers)
            .map_err(|error| fault("response_headers: ", &error))?,
        metrics: RouteMetrics::new(&site.metrics.families, route.name.as_str(), &pool),
    })
}

fn fault_rule(route: &Route, site: &Site) -> Option<FaultRule> {
    let config = &route.fault;
    let is_some = config.delay.is_some() || config.abort.is_some();
    let injected = &site.metrics.families.faults_injected;
    let count = |kind: &str| injected.with_label_values(&[route.name.as_str(), kind]);
    is_some.then(|| FaultRule {
        config: config.clone(),
        delayed: count("delay"),
        aborted: count("abort"),
    })
}

fn mirror_rule(route: &Route, pools: &[Arc<Pool>], site: &Site) -> Option<MirrorRule> {
    let mirror = route.mirror.as_ref()?;
    let named = |pool: &&Arc<Pool>| pool.spec.name == mirror.pool.as_str();
    let mirrored = &site.metrics.families.mirrored;
    let count = |result: &str| mirrored.with_label_values(&[route.name.as_str(), result]);
    Some(MirrorRule {
        pool: pools.iter().find(named)?.clone(),
        share: mirror.share,
        places: Arc::new(Semaphore::new(COPIES)),
        answered: count("answered"),
        failed: count("failed"),
        dropped: count("dropped"),
    })
}
