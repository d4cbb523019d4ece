//! What would happen to a request, and why not something else.
//!
//! The same objects decide as for a real request (route table, region ranking, pool view, balancer);
//! only nothing is sent and nothing is counted. Policies that draw lots may choose another endpoint next
//! time, which the answer says.

mod region;
mod weigh;

use crate::clock;
use crate::plan::{Action, Plan, Rule};
use crate::status::state_of;
use crate::upstream::{Member, Pool};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lb_core::balance::hash::stable_hash;
use lb_core::http::tier::{PRIORITY, Priority};
use lb_core::route::Verdict;
use lb_core::status::{Explain, ExplainQuery, ExplainStep, Removed};
use std::net::IpAddr;
use std::sync::Arc;

/// A request that is explained.
struct Subject {
    method: Method,
    host: String,
    path: String,
    headers: HeaderMap,
    client: Option<IpAddr>,
}

/// Explains a request without sending it.
///
/// # Errors
/// A reason, when the request makes no sense.
pub(crate) fn explain(plan: &Plan, query: &ExplainQuery) -> Result<Explain, String> {
    let subject = Subject::parse(query)?;
    let mut answer = Explain {
        request: format!("{} http://{}{}", subject.method, subject.host, subject.path),
        ..Explain::default()
    };
    let Some(rule) = route(plan, &subject, &mut answer) else {
        answer.decision = "404: no route matches".to_owned();
        return Ok(answer);
    };
    answer.route = Some(rule.name.clone());
    match &rule.action {
        Action::Redirect(redirect) => {
            answer.decision = format!("{}: route {} redirects", redirect.status(), rule.name);
        }
        Action::Pool(pool) => {
            answer.pool = Some(pool.spec.name.clone());
            let is_let_in = admit(pool, &subject, &mut answer);
            endpoint(pool, &subject, &mut answer);
            if !is_let_in {
                let full = format!("503: pool {} is full; after a short wait, ", pool.spec.name);
                answer.decision.insert_str(0, &full);
            }
        }
        Action::Regions(regions) => {
            if let Some(pool) = region::region(plan, regions, &subject, &mut answer) {
                endpoint(&pool, &subject, &mut answer);
            }
        }
    }
    Ok(answer)
}

/// The route step.
fn route<'a>(plan: &'a Plan, subject: &Subject, answer: &mut Explain) -> Option<&'a Arc<Rule>> {
    let name = |index: usize| {
        plan.rules
            .get(index)
            .map_or_else(String::new, |rule| rule.name.clone())
    };
    let path = subject.path.split('?').next().unwrap_or("/");
    let verdicts = plan
        .table
        .explain(&subject.host, &subject.method, path, &subject.headers);
    let chosen = verdicts
        .iter()
        .find(|verdict| verdict.verdict == Verdict::Chosen);
    let removed = verdicts
        .iter()
        .filter(|verdict| verdict.verdict != Verdict::Chosen)
        .map(|verdict| Removed {
            what: name(verdict.route),
            why: verdict.verdict.to_string(),
        });
    answer.steps.push(ExplainStep {
        step: "match routes".to_owned(),
        removed: removed.collect(),
        kept: chosen.iter().map(|verdict| name(verdict.route)).collect(),
    });
    plan.rules.get(chosen?.route)
}

/// The admission step: whether the request would be let in to the pool now, without a wait.
fn admit(pool: &Pool, subject: &Subject, answer: &mut Explain) -> bool {
    let known = pool.admission.snapshot();
    let Some(limit) = known.limit else {
        return true;
    };
    let field = subject.headers.get(&PRIORITY);
    let priority = field.and_then(Priority::parse).unwrap_or_default();
    let what = format!(
        "{} of {} under way, {} waiting ({})",
        known.in_flight,
        limit,
        known.pending,
        known.phase.label()
    );
    let is_let_in = pool.admission.has_room(priority);
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    if is_let_in {
        kept.push(what);
    } else {
        let share = priority.share_of(limit);
        let why = format!("{} requests may fill {share} places", priority.as_str());
        removed.push(Removed { what, why });
    }
    answer.steps.push(ExplainStep {
        step: "find room in the pool".to_owned(),
        kept,
        removed,
    });
    is_let_in
}

/// The endpoint steps: health, then the policy.
fn endpoint(pool: &Pool, subject: &Subject, answer: &mut Explain) {
    let now = clock::now();
    let view = pool.view();
    let name = |member: &Member| member.endpoint.key.server.to_string();
    let is_kept = |member: &&Member| {
        view.endpoints()
            .iter()
            .any(|endpoint| endpoint.id == member.endpoint.id)
    };
    let kept: Vec<String> = view.members.iter().filter(is_kept).map(name).collect();
    let removed = view
        .members
        .iter()
        .filter(|member| !is_kept(member))
        .map(|member| {
            let (state, why) = state_of(member, now);
            let why = if why.is_empty() {
                state.as_str().to_owned()
            } else {
                format!("{}: {why}", state.as_str())
            };
            Removed {
                what: name(member),
                why,
            }
        });
    let removed = removed.collect();
    let step = if view.panic {
        "ignore health: too little of the pool is routable (panic)".to_owned()
    } else {
        "skip what is not routable".to_owned()
    };
    answer.steps.push(ExplainStep {
        step,
        kept,
        removed,
    });
    answer.steps.extend(weigh::weigh(&view, now));
    answer.steps.extend(weigh::prefer_zone(pool, &view));
    let key = pool.spec.policy.needs_key().then(|| subject.hash(pool));
    let picked = clock::with_rng(|rng| pool.pick(key, &[], now, rng));
    let policy = pool.spec.policy.name();
    answer.steps.push(ExplainStep {
        step: format!("choose by {policy}"),
        kept: picked
            .iter()
            .map(|endpoint| endpoint.key.server.to_string())
            .collect(),
        removed: Vec::new(),
    });
    answer.decision = match &picked {
        Some(endpoint) => format!(
            "{} at {}{}",
            endpoint.key.server,
            endpoint.key.address,
            if key.is_some() {
                ""
            } else {
                " (the policy weighs load; another request may go elsewhere)"
            }
        ),
        None => format!("503: pool {} has no endpoint left to try", pool.spec.name),
    };
    answer.endpoint = picked.map(|endpoint| endpoint.key.server.to_string());
}

// === impl Subject ===

impl Subject {
    fn parse(query: &ExplainQuery) -> Result<Self, String> {
        let method = if query.method.is_empty() {
            "GET"
        } else {
            &query.method
        };
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|error| format!("\"{method}\" is not a method: {error}"))?;
        let path = if query.path.is_empty() {
            "/"
        } else {
            &query.path
        };
        if !path.starts_with('/') {
            return Err(format!("the path \"{path}\" does not start with a slash"));
        }
        let mut headers = HeaderMap::new();
        for field in &query.headers {
            let name = HeaderName::try_from(&field.name)
                .map_err(|error| format!("\"{}\" is not a field's name: {error}", field.name))?;
            let value = HeaderValue::try_from(&field.value)
                .map_err(|error| format!("the value of {}: {error}", field.name))?;
            headers.append(name, value);
        }
        Ok(Self {
            method,
            host: query.host.clone(),
            path: path.to_owned(),
            headers,
            client: query.client,
        })
    }

    /// The hash as for a request; cookies are not looked into.
    fn hash(&self, pool: &Pool) -> u64 {
        let on = &pool.spec.hash_on;
        let header = on
            .header
            .as_ref()
            .and_then(|name| self.headers.get(name.as_str()));
        match (header, on.path, self.client) {
            (Some(value), _, _) => stable_hash(value.as_bytes()),
            (None, true, _) => stable_hash(self.path.split('?').next().unwrap_or("/").as_bytes()),
            (None, false, Some(IpAddr::V4(ip))) => stable_hash(&ip.octets()),
            (None, false, Some(IpAddr::V6(ip))) => stable_hash(&ip.octets()),
            (None, false, None) => 0,
        }
    }
}
