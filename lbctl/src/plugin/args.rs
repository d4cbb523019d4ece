//! The command line of the plug-in.

use crate::args::Args;
use clap::{Parser, ValueHint};
use std::path::PathBuf;

/// Look at and steer Strata's pods.
#[derive(Debug, Parser)]
#[command(name = "kubectl lb", bin_name = "kubectl lb", version)]
pub(crate) struct PluginArgs {
    #[command(flatten)]
    pub(crate) pods: PodOptions,
    #[command(flatten)]
    pub(crate) args: Args,
}

/// Which pods, and how to reach them. Names are kubectl's.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Pods")]
pub(crate) struct PodOptions {
    /// Namespace of the pods. Default: that of kubectl's context.
    #[arg(short, long, global = true)]
    pub(crate) namespace: Option<String>,
    /// kubectl's context.
    #[arg(long, global = true)]
    pub(crate) context: Option<String>,
    /// kubectl's configuration.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Labels of the pods; the tier that a verb is for is added.
    #[arg(
        short = 'l',
        long,
        global = true,
        default_value = "app.kubernetes.io/name=strata",
        value_name = "LABELS"
    )]
    pub(crate) selector: String,
    /// Secret with the token that allows changes, in its key `tokens`; not read when --token-file is given.
    #[arg(
        long,
        global = true,
        default_value = "lb-admin-tokens",
        value_name = "NAME"
    )]
    pub(crate) token_secret: String,
}
