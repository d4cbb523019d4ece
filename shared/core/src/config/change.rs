//! stub
#[derive(Debug, Clone)]
pub struct Deferred {
    pub path: String,
    pub reason: String,
    pub remedy: String,
}
impl std::fmt::Display for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.reason, self.remedy)
    }
}
pub fn content_hash(text: &[&str]) -> String {
    format!(
        "{:016x}",
        text.iter().fold(0, |h, t| crate::balance::hash::combine(
            h,
            crate::balance::hash::stable_hash(t.as_bytes())
        ))
    )
}
use super::model::{Global, Regional};
pub fn carry_over_regional(_old: &Regional, new: Regional) -> (Regional, Vec<Deferred>) {
    (new, Vec::new())
}
pub fn carry_over_global(_old: &Global, new: Global) -> (Global, Vec<Deferred>) {
    (new, Vec::new())
}
