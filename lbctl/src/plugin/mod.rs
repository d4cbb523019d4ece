//! `kubectl lb`: the same verbs for replicas that are pods.
//!
//! # Problem
//! Admin listeners are for the inside of a Kubernetes network: a policy keeps everybody else away, and pods' addresses mean nothing
//! on an operator's machine. Running `lbctl` in a pod (`kubectl exec`) works, but without the operator's files and terminal.
//!
//! # Choice
//! kubectl runs any program called `kubectl-lb` as its verb, and `lbctl` under that name is it. It asks kubectl itself for the pods, for a
//! forwarded port to each of them, and for the token that changes need: so who may do what is what the operator's own credentials allow,
//! whichever way they come (certificates, plug-ins of clouds, proxies), and is in the API server's audit log. With all replicas
//! forwarded, a drain is followed at each of them, as it is from within.
//!
//! # Rejected
//! A client of the API server of our own: it would have to bring all of kubectl's ways to log in. A Service's port instead of pods':
//! one replica at random, which answers for itself only.
//!
//! # Limits
//! At most [`MOST`] pods are asked. Where there are more, a question is answered by the first of them and says so; an order is refused, as
//! its progress could not be followed at all of them. A forwarded port ends with its pod; orders outlive it, as they are at the others.
//!
//! # Source
//! Kubernetes, "Extend kubectl with plugins"; `kubectl port-forward`.

mod args;
mod forward;
mod kubectl;

pub(crate) use args::PluginArgs;

use crate::args::{ConfigVerb, Verb};
use crate::drain::{RegionVerb, ServerVerb};
use crate::failure::{Exit, Failure};
use crate::token::Token;
use forward::Forward;
use kubectl::Kubectl;
use std::path::Path;

/// Most pods that are asked.
const MOST: usize = 32;

/// Which pods a verb is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// None: it works on files.
    Nobody,
    /// Both tiers'.
    Everybody,
    /// The global tier's.
    Global,
    /// The regional tier's.
    Regional,
}

/// Whether kubectl runs this program under the name `argument_0`.
pub(crate) fn is_meant(argument_0: &Path) -> bool {
    argument_0
        .file_stem()
        .is_some_and(|name| name == "kubectl-lb")
}

/// Finds the pods, reaches them, and does what is asked.
pub(crate) fn run(plugin: PluginArgs) -> Result<(), Failure> {
    let PluginArgs { pods, mut args } = plugin;
    let whom = whom(&args.verb)?;
    if whom == Whom::Nobody {
        return crate::run(args);
    }
    let kubectl = Kubectl::new(&pods);
    let names = kubectl.pods(&selector(&pods.selector, whom))?;
    if let Some(failure) = too_many(names.len()) {
        if changes(&args.verb) {
            return Err(failure);
        }
        failure.report();
    }
    // All start before the first is waited for.
    let forwards: Vec<Forward> = names
        .iter()
        .take(MOST)
        .map(|pod| Forward::start(&kubectl, pod))
        .collect::<Result<_, _>>()?;
    let mut failed = Vec::new();
    let mut admins = Vec::new();
    for forward in &forwards {
        match forward.address() {
            Ok(address) => admins.push(address.to_string()),
            Err(failure) => failed.push(failure),
        }
    }
    match (failed.into_iter().next(), admins.is_empty()) {
        (Some(failure), true) => return Err(failure),
        (Some(failure), false) => failure.report(),
        (None, _) => {}
    }
    args.options.admin = admins;
    if args.options.token_file.is_none() && changes(&args.verb) {
        args.options.token = Some(Token::of(
            &kubectl.secret(&pods.token_secret)?,
            &pods.token_secret,
        )?);
    }
    crate::run(args)
}

/// What is wrong when so many pods are meant, if anything is.
fn too_many(pods: usize) -> Option<Failure> {
    if pods <= MOST {
        return None;
    }
    let message = format!("{pods} pods are meant, and no more than {MOST} are asked");
    let hint = "name fewer by --selector, or ask all from the inside: `kubectl exec POD -- /usr/bin/lbctl …`";
    Some(Failure::new(Exit::Refused, message).hint(hint))
}

fn selector(given: &str, whom: Whom) -> String {
    let component = match whom {
        Whom::Nobody | Whom::Everybody => return given.to_owned(),
        Whom::Global => "global-lb",
        Whom::Regional => "regional-lb",
    };
    format!("{given},app.kubernetes.io/component={component}")
}

fn whom(verb: &Verb) -> Result<Whom, Failure> {
    match verb {
        Verb::Status | Verb::Explain(_) => Ok(Whom::Everybody),
        Verb::Regions | Verb::Region { .. } => Ok(Whom::Global),
        Verb::Pools | Verb::Server { .. } => Ok(Whom::Regional),
        Verb::Config {
            verb: ConfigVerb::Check { .. },
        }
        | Verb::Completions { .. }
        | Verb::Man { .. } => Ok(Whom::Nobody),
        Verb::Upgrade(_) | Verb::UpgradeStart(_) => Err(Failure::new(
            Exit::Usage,
            "a pod is not upgraded in place",
        )
        .hint(
            "change the image or the bootstrap: `kubectl rollout status` shows the rolling update",
        )),
        Verb::Demo(_) | Verb::DemoServer(_) => Err(Failure::new(
            Exit::Usage,
            "the demo runs on this machine: `lbctl demo`",
        )),
    }
}

/// Whether the verb needs the token.
fn changes(verb: &Verb) -> bool {
    match verb {
        Verb::Region { verb } => !matches!(verb, RegionVerb::Drains),
        Verb::Server { verb } => !matches!(verb, ServerVerb::Drains),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_sound() {
        PluginArgs::command().debug_assert();
    }

    #[test]
    fn kubectl_s_name_for_it_is_told() {
        assert!(is_meant(Path::new("/usr/local/bin/kubectl-lb")));
        assert!(!is_meant(Path::new("lbctl")));
    }

    #[test]
    fn more_pods_than_are_asked_are_not_passed_over_in_silence() {
        assert_eq!(too_many(MOST), None);
        let told = too_many(MOST + 1).unwrap();
        assert_eq!(told.exit, Exit::Refused);
        assert!(told.message.starts_with("33 pods are meant"), "{told}");
    }

    #[test]
    fn each_verb_is_for_the_tier_that_knows() {
        let of = |line: &str| {
            let words = ["kubectl-lb"].into_iter().chain(line.split(' '));
            let args = PluginArgs::try_parse_from(words).unwrap();
            let whom = whom(&args.args.verb).map(|whom| selector(&args.pods.selector, whom));
            (whom.ok(), changes(&args.args.verb))
        };
        let all = "app.kubernetes.io/name=strata";
        let global = format!("{all},app.kubernetes.io/component=global-lb");
        let regional = "a=b,app.kubernetes.io/component=regional-lb".to_owned();
        assert_eq!(of("status"), (Some(all.to_owned()), false));
        assert_eq!(
            of("-n edge region drain eu --reason x"),
            (Some(global.clone()), true)
        );
        assert_eq!(of("region drains -n edge"), (Some(global), false));
        assert_eq!(
            of("server drain app/a --reason x -l a=b"),
            (Some(regional), true)
        );
        assert_eq!(of("upgrade --run-directory /run/x").0, None);
    }
}
