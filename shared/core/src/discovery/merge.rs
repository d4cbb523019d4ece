//! From slices to servers.

use super::note::Note;
use super::slice::{AddressType, Conditions, Mention, Slice, Standing};
use super::{names, ports, weights};
use crate::config::model::{AddressFamily, KubernetesServices};
use crate::name::{ServerName, ZoneName};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What slices are read by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// What the configuration says.
    pub config: &'a KubernetesServices,
    /// The zone of this replica.
    pub zone: Option<&'a ZoneName>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name, unique in the list.
    pub name: ServerName,
    /// Where it serves.
    pub address: SocketAddr,
    /// Its weight; 0 is drained.
    pub weight: u32,
    /// The zone that it stands in.
    pub zone: Option<ZoneName>,
    /// It is on its way out, and gets new requests only when nobody else is left.
    pub leaves: bool,
}

/// A list of servers, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The servers.
    pub servers: Vec<Found>,
    /// What an operator should know.
    pub notes: BTreeSet<Note>,
    /// Ready servers that nothing can be sent to: without the port that is wanted, or an address that can be read.
    pub unusable: usize,
}

/// All that slices say of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server<'s> {
    /// Position of its Service, with where it serves.
    places: BTreeSet<(usize, SocketAddr)>,
    target: Option<&'s str>,
    zone: Option<&'s str>,
    hints: BTreeSet<&'s str>,
    weight: u32,
    conditions: Conditions,
}

/// Who a mention is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who<'s> {
    Target(&'s str),
    Address(SocketAddr),
}

/// A server that has one place, and the Service that has it.
type Placed<'s> = (usize, SocketAddr, Server<'s>);

/// The servers of all these slices, in whichever order they come. Slices of other Services don't count.
#[must_use]
pub fn merge<'s>(slices: impl IntoIterator<Item = &'s Slice>, rules: Rules<'_>) -> Merged {
    let mut notes = BTreeSet::new();
    let services = &rules.config.services;
    let mut shares: Vec<Option<u32>> = vec![None; services.len()];
    let mut seen = vec![false; services.len()];
    let mut servers: BTreeMap<Who<'s>, Server<'s>> = BTreeMap::new();
    let mut unusable = 0;
    for slice in slices {
        let is_it = |named: &str| named == slice.service;
        let Some(at) = services.iter().position(|s| is_it(s.name.as_str())) else {
            continue;
        };
        if let Some(seen) = seen.get_mut(at) {
            *seen = true;
        }
        let label = weight(slice, slice.service_weight.as_deref(), &mut notes);
        if let Some((share, label)) = shares.get_mut(at).zip(label) {
            *share = Some(share.map_or(label, |share| share.min(label)));
        }
        unusable += read(slice, at, rules.config, &mut servers, &mut notes);
    }
    for (service, _) in services.iter().zip(seen).filter(|(_, seen)| !seen) {
        let service = service.name.clone();
        notes.insert(Note::NoSlices { service });
    }
    let shares = services.iter().zip(shares);
    let shares: Vec<u32> = shares.map(|(s, label)| label.unwrap_or(s.weight)).collect();
    let mut placed = place(servers, rules.config.family);
    select(&mut placed, rules, &mut notes);
    Merged {
        servers: finish(&placed, &shares),
        notes,
        unusable,
    }
}

/// Takes in what a slice tells. Returns how many of its ready servers can't be used.
fn read<'s>(
    slice: &'s Slice,
    service: usize,
    config: &KubernetesServices,
    servers: &mut BTreeMap<Who<'s>, Server<'s>>,
    notes: &mut BTreeSet<Note>,
) -> usize {
    let name = || slice.service.clone();
    if slice.addresses == AddressType::Other {
        // The same pods stand in slices of addresses, if they have any.
        notes.insert(Note::NotAddresses { service: name() });
        return 0;
    }
    if slice.mentions.is_empty() {
        // The slice of a Service without pods has no ports either.
        return 0;
    }
    let is_ready = |mention: &&Mention| mention.conditions().standing() == Standing::Ready;
    let port = match ports::find(&slice.ports, config.port.as_deref()) {
        Ok(port) => port,
        Err(has) => {
            notes.insert(Note::NoPort {
                service: name(),
                wanted: config.port.clone().unwrap_or_default(),
                has,
            });
            return slice.mentions.iter().filter(is_ready).count();
        }
    };
    let mut unusable = 0;
    let weight = weight(slice, slice.server_weight.as_deref(), notes).unwrap_or(1);
    for mention in &slice.mentions {
        let Some(address) = mention.address else {
            notes.insert(Note::Unreadable { service: name() });
            unusable += usize::from(is_ready(&mention));
            continue;
        };
        let place = SocketAddr::new(address.to_canonical(), port);
        let who = match mention.uid.as_deref() {
            Some(uid) => Who::Target(uid),
            None => Who::Address(place),
        };
        let one = Server::new(mention, (service, place), weight);
        match servers.get_mut(&who) {
            Some(server) => server.join(one),
            None => {
                servers.insert(who, one);
            }
        }
    }
    unusable
}

fn weight(slice: &Slice, text: Option<&str>, notes: &mut BTreeSet<Note>) -> Option<u32> {
    let text = text?;
    let weight = weights::read(text);
    if weight.is_none() {
        notes.insert(Note::BadWeight {
            service: slice.service.clone(),
            text: text.chars().take(40).collect(),
        });
    }
    weight
}

/// Gives each server its place, and each place its server.
fn place<'s>(servers: BTreeMap<Who<'s>, Server<'s>>, family: AddressFamily) -> Vec<Placed<'s>> {
    let mut places: BTreeMap<SocketAddr, Placed<'s>> = BTreeMap::new();
    for server in servers.into_values() {
        // The Service that stands first, the better family, the least address.
        let order = |(service, address): &(usize, SocketAddr)| {
            Some((*service, rank(address.ip(), family)?, *address))
        };
        let Some((service, _, address)) = server.places.iter().filter_map(order).min() else {
            continue;
        };
        // Servers come in the order of who they are, and the first of equals stays.
        let better = |(known_service, _, known): &Placed<'_>| {
            let known = (Reverse(known.standing()), *known_service);
            (Reverse(server.standing()), service) < known
        };
        if places.get(&address).is_none_or(better) {
            places.insert(address, (service, address, server));
        }
    }
    places.into_values().collect()
}

/// How much an address is wanted; none: not at all.
const fn rank(address: IpAddr, family: AddressFamily) -> Option<u8> {
    match (family, address.is_ipv4()) {
        (AddressFamily::Ipv4 | AddressFamily::PreferIpv4, true)
        | (AddressFamily::Ipv6 | AddressFamily::PreferIpv6, false) => Some(0),
        (AddressFamily::PreferIpv4, false) | (AddressFamily::PreferIpv6, true) => Some(1),
        (AddressFamily::Ipv4, false) | (AddressFamily::Ipv6, true) => None,
    }
}

/// Leaves out whoever is not to be used now.
fn select(servers: &mut Vec<Placed<'_>>, rules: Rules<'_>, notes: &mut BTreeSet<Note>) {
    let best = servers.iter().map(|(_, _, server)| server.standing()).max();
    let least = match best {
        Some(Standing::Ready | Standing::Leaving) => Standing::Leaving,
        _ => Standing::Unready,
    };
    servers.retain(|(_, _, server)| server.standing() >= least);
    if !servers.is_empty() && least == Standing::Unready {
        notes.insert(Note::AllUnready {
            servers: servers.len(),
        });
    }
    if let Some(zone) = rules.zone.filter(|_| rules.config.zone_hints) {
        obey_hints(servers, zone.as_str());
    }
    let most = rules.config.max_servers;
    if servers.len() > most {
        // The same ones at every replica, and whoever stays longest.
        servers.sort_by_key(|(_, address, server)| (Reverse(server.standing()), *address));
        notes.insert(Note::TooMany {
            most,
            left_out: servers.len() - most,
        });
        servers.truncate(most);
    }
}

/// Keeps the ready servers that are meant for `zone`, when each of them is meant for some and any for this one.
fn obey_hints(servers: &mut Vec<Placed<'_>>, zone: &str) {
    let ready = || {
        let all = servers.iter().map(|(_, _, server)| server);
        all.filter(|server| server.standing() == Standing::Ready)
    };
    let complete = ready().all(|server| !server.hints.is_empty());
    if complete && ready().any(|server| server.hints.contains(zone)) {
        servers.retain(|(_, _, server)| {
            server.standing() != Standing::Ready || server.hints.contains(zone)
        });
    }
}

fn finish(servers: &[Placed<'_>], shares: &[u32]) -> Vec<Found> {
    let leaves = |server: &Server<'_>| server.standing() == Standing::Leaving;
    let parts = servers.iter().map(|(service, _, server)| weights::Part {
        service: *service,
        own: server.weight,
        leaves: leaves(server),
    });
    let parts: Vec<_> = parts.collect();
    let weights = weights::share_out(&parts, shares);
    let names = names::of(servers.iter().map(|(_, at, server)| (server.target, *at)));
    let found = servers.iter().zip(weights).zip(names);
    let found = found.filter_map(|(((_, address, server), weight), name)| {
        Some(Found {
            name: name?,
            address: *address,
            weight,
            zone: server.zone.and_then(|zone| ZoneName::new(zone).ok()),
            leaves: leaves(server),
        })
    });
    let mut found: Vec<Found> = found.collect();
    found.sort_by(|a, b| (&a.name, a.address).cmp(&(&b.name, b.address)));
    found
}

// === impl Merged ===

impl Merged {
    /// Whether it is empty for a fault in the port or the addresses, not because nobody is there.
    #[must_use]
    pub fn is_useless(&self) -> bool {
        self.servers.is_empty() && self.unusable > 0
    }
}

// === impl Server ===

impl<'s> Server<'s> {
    fn new(mention: &'s Mention, place: (usize, SocketAddr), weight: u32) -> Self {
        Self {
            places: BTreeSet::from([place]),
            target: mention.target.as_deref(),
            zone: mention.zone.as_deref(),
            hints: mention.hints.iter().map(String::as_str).collect(),
            weight,
            conditions: mention.conditions(),
        }
    }

    /// Takes in another word about it. Which came first makes no difference.
    fn join(&mut self, other: Self) {
        self.places.extend(other.places);
        self.hints.extend(other.hints);
        // A text beats none.
        self.target = self.target.max(other.target);
        self.zone = self.zone.max(other.zone);
        self.weight = self.weight.min(other.weight);
        self.conditions = self.conditions.join(other.conditions);
    }

    const fn standing(&self) -> Standing {
        self.conditions.standing()
    }
}
