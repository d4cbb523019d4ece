//! The same failures for three load balancers, two tiers of each, side by side.
//!
//! **Problem.** A claim such as "survives the loss of a region" means nothing without a number, and a number means
//! little without what others reach on the same machine, under the same load, in the same run.
//!
//! **Choice.** A [`scenario::Scenario`] plays one failure on a [`stack::Stack`] of any [`contender::Contender`]: the
//! scripted servers, the open-loop load and the ledgers are those of the black-box suites (`strata-tests`), so that no
//! contender judges itself. [`trial::Trial`] holds load and marks, [`measures::Measures`] what came of it and how it
//! compares with the target, [`table`] prints it.
//!
//! Whether a target is met by what is meant to meet it, and not by chance, is shown by playing it without: [`control`].
//!
//! **Rejected.** Containers and network namespaces: the scenarios need nothing that loopback and signals can't do.
//!
//! **Limits.** One machine: the load generator shares its cores with the proxies, so rates are modest and servers take a
//! realistic time to answer; whoever reads p99 ratios looks at the generator's lag too.

pub mod contender;
pub mod control;
pub mod measures;
pub mod plan;
pub mod scenario;
pub mod stack;
pub mod stats;
pub mod storm;
pub mod table;
pub mod template;
pub mod trial;
