//! What of HTTP is a decision: which requests are refused, whom to believe, what travels on.
//!
//! No parser and no I/O: requests are still read and written by the loop that carries them. What is
//! here looks at bytes and header maps and answers.

pub mod fault;
pub mod h2;
pub mod head;
