//! What an operator sends, and what comes back: the bodies of the admin API.

use super::{Action, Forecast, Record, Refusal, Rule, SessionPolicy, Stage};
use crate::config::scalar::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order ends by itself after this many seconds when nothing else is said: two hours …
const EXPIRES_S: u64 = 2 * 3600;
/// … and, unless it is to last for ever, after this many at most: three days.
const MOST_EXPIRES_S: u64 = 72 * 3600;
/// Seconds of a ramp when nothing else is said, and at most.
const RAMP_S: u64 = 60;
const MOST_RAMP_S: u64 = 24 * 3600;
/// Seconds that bound users stay, when nothing else is said.
const GRACE_S: u64 = 300;

/// An operator's order. The path names the region or server, and the action.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// `drain`: the share of its requests that leaves, in percent; all when absent. `dial`: the share that it keeps; required.
    pub percent: Option<u8>,
    /// Time until then; a minute when absent, for servers none.
    pub over: Option<DurationText>,
    /// What happens to users who are bound to it.
    pub session_policy: SessionPolicy,
    /// How long they may stay.
    pub session_grace: Option<DurationText>,
    /// Why. Required, but for `undrain`.
    pub reason: String,
    /// Who. Required.
    pub actor: String,
    /// Where more is written.
    pub ticket: Option<String>,
    /// When it ends by itself; two hours when absent, three days at most.
    pub expires: Option<DurationText>,
    /// It doesn't end by itself.
    pub permanent: bool,
    /// Rules that it may break.
    pub overrides: Vec<Rule>,
    /// It may break all rules.
    pub force: bool,
    /// Only tell what would happen.
    pub dry_run: bool,
    /// Only when the record has this version; 0: there is none.
    pub if_version: Option<u64>,
}

/// Why an order makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Senseless {
    /// A share is needed.
    #[error("percent is missing: say which share of its requests it keeps, 0 to 100")]
    NoPercent,
    /// A share is out of range.
    #[error("percent is {0}: say 0 to 100")]
    Percent(u8),
    /// An end is too far away.
    #[error("expires is {0}: say up to 72h, or permanent")]
    Expires(DurationText),
    /// A ramp is too long.
    #[error("over is {0}: say up to 24h")]
    Ramp(DurationText),
    /// Two things that exclude each other.
    #[error("{0}")]
    Both(&'static str),
}

/// What was done with an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// The record as it is now; with `dry_run`, as it would be.
    pub record: Record,
    /// What it does to those who take the requests; none for servers and for what gives requests back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// Nothing was changed, as `dry_run` asked.
    #[serde(default)]
    pub dry_run: bool,
    /// The same order was in force already.
    #[serde(default)]
    pub unchanged: bool,
    /// It is on disk, or in the store.
    #[serde(default)]
    pub durable: bool,
    /// Replicas that have it, this one included, by name.
    #[serde(default)]
    pub applied: Vec<String>,
    /// Replicas that should have it and haven't said so in time: they fetch it within seconds when they can be reached.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// Why an order was not obeyed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// What is the matter.
    pub error: String,
    /// What to do about it.
    pub hint: String,
    /// The rules that it breaks.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
    /// What it would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// The record as it is, when another version was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Record>,
}

/// An order in force, or just over, as a replica sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DrainStatus {
    /// What it is about: `region/NAME` or `server/POOL/NAME`.
    pub scope: String,
    /// How far it is.
    pub stage: Stage,
    /// Share of its requests that it keeps now, 0 to 1.
    pub share: f64,
    /// Time until its ramp is over, in milliseconds, if nothing holds it.
    pub left_ms: u64,
    /// The region that holds its ramp.
    pub held_by: Option<String>,
    /// This replica's requests that are in flight there.
    pub in_flight: u64,
    /// The order; none when the reader can't know it.
    pub record: Option<Record>,
}

// === impl Order ===

impl Order {
    /// The record that it asks for, without stamps and version. `has_share` is what it keeps now, 0 to 1; `now_ms` the time since 1970.
    ///
    /// # Errors
    /// [`Senseless`] names the field.
    pub fn draft(
        &self,
        scope: super::Scope,
        action: Action,
        has_share: f64,
        now_ms: u64,
    ) -> Result<Record, Senseless> {
        let is_server = matches!(scope, super::Scope::Server { .. });
        if self.permanent && self.expires.is_some() {
            return Err(Senseless::Both("say either expires or permanent"));
        }
        let ramps = self.over.is_some_and(|over| !over.get().is_zero());
        if is_server && (self.percent.is_some() || ramps) {
            return Err(Senseless::Both(
                "a server leaves as a whole and at once: percent and over are for regions",
            ));
        }
        if let Some(percent) = self.percent.filter(|percent| *percent > 100) {
            return Err(Senseless::Percent(percent));
        }
        let keep_percent = match (action, self.percent) {
            (Action::Drain, percent) => 100 - percent.unwrap_or(100),
            (Action::Dial, Some(percent)) => percent,
            (Action::Dial, None) => return Err(Senseless::NoPercent),
            (Action::Offline, _) => 0,
            (Action::Undrain, _) => 100,
        };
        let usual = match action {
            Action::Offline => 0,
            _ if is_server => 0,
            _ => RAMP_S,
        };
        let over = self.over.unwrap_or(DurationText::secs(usual));
        if over.get().as_secs() > MOST_RAMP_S {
            return Err(Senseless::Ramp(over));
        }
        let expires = self.expires.unwrap_or(DurationText::secs(EXPIRES_S));
        if expires.get().as_secs() > MOST_EXPIRES_S {
            return Err(Senseless::Expires(expires));
        }
        let lasts = !self.permanent && action != Action::Undrain;
        let millis = u64::try_from(expires.get().as_millis()).unwrap_or(u64::MAX);
        let grace = self.session_grace.unwrap_or(DurationText::secs(GRACE_S));
        let mut overrides = self.overrides.clone();
        if self.force {
            overrides = Rule::ALL.to_vec();
        }
        overrides.sort_unstable();
        overrides.dedup();
        Ok(Record {
            scope,
            action,
            keep_percent,
            from_percent: (has_share.clamp(0.0, 1.0) * 100.0).round() as u8,
            ramp_s: seconds(over),
            session_policy: self.session_policy,
            session_grace_s: seconds(grace),
            reason: self.reason.trim().to_owned(),
            actor: self.actor.trim().to_owned(),
            ticket: self.ticket.clone(),
            created: super::Stamp::default(),
            updated: super::Stamp::default(),
            expires_ms: lasts.then(|| now_ms.saturating_add(millis)),
            overrides,
            version: 0,
        })
    }
}

fn seconds(text: DurationText) -> u32 {
    u32::try_from(text.get().as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Scope;
    use crate::name::RegionName;

    fn eu() -> Scope {
        Scope::Region(RegionName::new("eu").unwrap())
    }

    #[test]
    fn an_order_says_what_leaves_or_what_stays() {
        let order = Order {
            percent: Some(30),
            ..Order::default()
        };
        let keeps = |action| order.draft(eu(), action, 0.75, 1_000).unwrap().keep_percent;
        assert_eq!((keeps(Action::Drain), keeps(Action::Dial)), (70, 30));
        assert_eq!((keeps(Action::Offline), keeps(Action::Undrain)), (0, 100));
        let plain = Order::default()
            .draft(eu(), Action::Drain, 0.75, 1_000)
            .unwrap();
        assert_eq!(
            (plain.keep_percent, plain.from_percent, plain.ramp_s),
            (0, 75, 60)
        );
        assert_eq!(plain.expires_ms, Some(1_000 + 7_200_000));
        let offline = Order::default()
            .draft(eu(), Action::Offline, 1.0, 0)
            .unwrap();
        assert_eq!(offline.ramp_s, 0);
    }

    #[test]
    fn nonsense_is_refused_by_field() {
        let day = |days: u64| Some(DurationText::secs(days * 24 * 3600));
        for (order, part) in [
            (
                Order {
                    percent: Some(101),
                    ..Order::default()
                },
                "percent is 101",
            ),
            (Order::default(), "percent is missing"),
            (
                Order {
                    percent: Some(1),
                    over: day(2),
                    ..Order::default()
                },
                "over is",
            ),
            (
                Order {
                    percent: Some(1),
                    expires: day(4),
                    ..Order::default()
                },
                "72h",
            ),
            (
                Order {
                    percent: Some(1),
                    expires: day(1),
                    permanent: true,
                    ..Order::default()
                },
                "either",
            ),
        ] {
            let text = order
                .draft(eu(), Action::Dial, 1.0, 0)
                .unwrap_err()
                .to_string();
            assert!(text.contains(part), "{text}");
        }
        assert!(serde_json::from_str::<Order>(r#"{"percnt": 5}"#).is_err());
    }
}
