//! From the command line to an order.

use super::args::{
    Common, Drain, Expires, Follow, Ramp, RegionVerb, ServerRef, ServerVerb, Undrain, Why,
};
use crate::failure::{Exit, Failure};
use lb_core::drain::{Action, Order, Scope};
use lb_core::name::RegionName;
use lb_core::status::Tier;

/// What is to be sent, and what to wait for then.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What it is about.
    pub(crate) scope: Scope,
    /// What is to happen.
    pub(crate) action: Action,
    /// The body.
    pub(crate) order: Order,
    /// What to wait for.
    pub(crate) follow: Follow,
    /// A person has to say yes.
    pub(crate) confirm: bool,
}

// === impl Plan ===

impl Plan {
    /// What `verb` orders; none when it orders nothing.
    pub(crate) fn region(verb: RegionVerb) -> Result<Option<Self>, Failure> {
        Ok(Some(match verb {
            RegionVerb::Drain(args) => Self::drain(scope(args.region), args.drain)?,
            RegionVerb::Undrain(args) => Self::undrain(scope(args.region), args.undrain)?,
            RegionVerb::Dial(args) => {
                let mut plan = Self::new(scope(args.region), Action::Dial, args.common)?;
                plan.order.percent = Some(args.keep);
                plan.ramp(&args.ramp);
                plan.why(args.why);
                plan
            }
            RegionVerb::Offline(args) => {
                let mut plan = Self::new(scope(args.region), Action::Offline, args.common)?;
                plan.why(args.why);
                plan.confirm = !args.yes && !plan.order.dry_run;
                plan
            }
            RegionVerb::Drains => return Ok(None),
        }))
    }

    /// What `verb` orders; none when it orders nothing.
    pub(crate) fn server(verb: ServerVerb) -> Result<Option<Self>, Failure> {
        let scope = |ServerRef { pool, server }| Scope::Server { pool, server };
        Ok(Some(match verb {
            ServerVerb::Drain(args) => Self::drain(scope(args.server), args.drain)?.whole()?,
            ServerVerb::Undrain(args) => {
                Self::undrain(scope(args.server), args.undrain)?.whole()?
            }
            ServerVerb::Drains => return Ok(None),
        }))
    }

    /// A server leaves and comes back as a whole: a replica would refuse anything else, and it is told before one is asked.
    fn whole(self) -> Result<Self, Failure> {
        let ramps = self.order.over.is_some_and(|over| !over.get().is_zero());
        let option = match (self.order.percent, ramps) {
            (Some(_), _) => "--percent",
            (None, true) => "--over",
            (None, false) => return Ok(self),
        };
        let message = format!("{option} is for regions: a server leaves and comes back as a whole");
        Err(Failure::new(Exit::Usage, message)
            .hint("leave it out: what is in flight there ends in peace, and a server that comes back starts slowly"))
    }

    fn drain(scope: Scope, drain: Drain) -> Result<Self, Failure> {
        let mut plan = Self::new(scope, Action::Drain, drain.common)?;
        plan.order.percent = drain.percent;
        plan.ramp(&drain.ramp);
        plan.why(drain.why);
        Ok(plan)
    }

    fn undrain(scope: Scope, undrain: Undrain) -> Result<Self, Failure> {
        let mut plan = Self::new(scope, Action::Undrain, undrain.common)?;
        plan.order.over = undrain.over;
        plan.order.reason = undrain.reason.unwrap_or_default();
        Ok(plan)
    }

    fn new(scope: Scope, action: Action, common: Common) -> Result<Self, Failure> {
        Ok(Self {
            scope,
            action,
            order: Order {
                actor: common.actor.map_or_else(person, Ok)?,
                ticket: common.ticket,
                dry_run: common.dry_run,
                if_version: common.if_version,
                ..Order::default()
            },
            follow: common.follow,
            confirm: false,
        })
    }

    fn ramp(&mut self, ramp: &Ramp) {
        self.order.over = ramp.over;
        self.order.session_policy = ramp.session.into();
        self.order.session_grace = ramp.session_grace;
    }

    fn why(&mut self, why: Why) {
        // Without a reason it is a dry run, and that needs none.
        self.order.reason = why.reason.unwrap_or_else(|| "dry run".to_owned());
        match why.expires {
            Some(Expires::Never) => self.order.permanent = true,
            Some(Expires::After(time)) => self.order.expires = Some(time),
            None => {}
        }
        self.order.overrides = why.overrides.into_iter().map(Into::into).collect();
        self.order.force = why.force;
    }

    /// Where it is sent. Names are safe in a path.
    pub(crate) fn path(&self) -> String {
        let action = self.action.as_str();
        match &self.scope {
            Scope::Region(region) => format!("/api/v1/regions/{region}/{action}"),
            Scope::Server { pool, server } => format!("/api/v1/servers/{pool}/{server}/{action}"),
        }
    }

    /// The tier that takes it.
    pub(crate) const fn tier(&self) -> Tier {
        match self.scope {
            Scope::Region(_) => Tier::Global,
            Scope::Server { .. } => Tier::Regional,
        }
    }
}

fn scope(region: RegionName) -> Scope {
    Scope::Region(region)
}

/// The person at the keyboard: who called `sudo`, or the user, at this machine.
fn person() -> Result<String, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = set("SUDO_USER").or_else(|| set("USER"));
    let Some(user) = user else {
        return Err(
            Failure::new(Exit::Usage, "neither SUDO_USER nor USER says who you are")
                .hint("say it by --actor NAME: it is kept with the order"),
        );
    };
    let machine = nix::unistd::gethostname().ok();
    Ok(match machine.as_ref().and_then(|name| name.to_str()) {
        Some(machine) => format!("{user}@{machine}"),
        None => user,
    })
}
