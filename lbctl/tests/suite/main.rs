//! `lbctl` as its users see it: exit codes, standard output, and the demo's processes.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod support;
