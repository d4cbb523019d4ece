//! What is shipped, as its users get it: built from these programs, installed in a clean Debian, run there by a real systemd, removed.

mod deb;
mod machine;
