//! Orders as operators give them, against stand-ins for the admin listeners of several replicas.

use super::support::{Asked, closed, lbctl, run, serve, serve_unix, stderr, stdout};
use lb_core::drain::*;
use lb_core::status::{PeerState, PeerStatus, ReplicaIdentity, Status, Tier};
use serde_json::{Value, json};
use std::process::Output;
use std::sync::{Arc, Mutex};

/// What the stand-ins share, as replicas share their orders.
#[derive(Debug, Default)]
struct World {
    record: Option<Record>,
    /// What each replica shows of the order.
    shows: Vec<(&'static str, Vec<Stage>)>,
    /// Orders that were given, with the head of the request.
    given: Vec<(String, String, Order)>,
}

type Shared = Arc<Mutex<World>>;

/// Who a stand-in is, and how it answers orders.
#[derive(Clone)]
struct Stand {
    name: &'static str,
    tier: Tier,
    peers: Vec<PeerStatus>,
    /// Status and body for an order; none: it is taken.
    refuses: Option<(u16, Value)>,
}

impl Stand {
    fn global(name: &'static str) -> Self {
        Self {
            name,
            tier: Tier::Global,
            peers: Vec::new(),
            refuses: None,
        }
    }

    fn refusing(self, status: u16, body: Value) -> Self {
        Self {
            refuses: Some((status, body)),
            ..self
        }
    }

    fn with_peers(self, peers: &[(&str, &str)]) -> Self {
        let peers = peers.iter().map(|(name, address)| PeerStatus {
            address: (*address).to_owned(),
            replica: Some((*name).to_owned()),
            state: PeerState::Live,
            ..PeerStatus::default()
        });
        Self {
            peers: peers.collect(),
            ..self
        }
    }

    fn serve(self, world: &Shared) -> String {
        let world = Arc::clone(world);
        serve(move |asked| self.answer(asked, &world))
    }

    fn answer(&self, asked: &Asked, world: &Shared) -> (u16, String) {
        let mut world = world.lock().unwrap();
        let body = match asked.what.as_str() {
            "GET /api/v1/status" => json!(Status {
                replica: self.name.to_owned(),
                tier: self.tier,
                peers: self.peers.clone(),
                ..Status::default()
            }),
            "GET /api/v1/replica" => json!(ReplicaIdentity {
                tier: self.tier,
                ..ReplicaIdentity::default()
            }),
            "GET /api/v1/drains" => json!(world.shown(self.name)),
            order => match &self.refuses {
                Some((status, body)) => return (*status, body.to_string()),
                None => json!(world.take(self.name, order, asked)),
            },
        };
        (200, body.to_string())
    }
}

impl World {
    fn shared(shows: &[(&'static str, &[Stage])]) -> Shared {
        Arc::new(Mutex::new(Self {
            shows: shows.iter().map(|(n, s)| (*n, s.to_vec())).collect(),
            ..Self::default()
        }))
    }

    /// What `name` shows now; at each look it is one stage further.
    fn shown(&mut self, name: &str) -> Vec<DrainStatus> {
        let Some(record) = &self.record else {
            return Vec::new();
        };
        let stages = self.shows.iter_mut().find(|(known, _)| *known == name);
        let Some((_, stages)) = stages.filter(|(_, stages)| !stages.is_empty()) else {
            return Vec::new();
        };
        let stage = if stages.len() > 1 {
            stages.remove(0)
        } else {
            stages[0]
        };
        vec![DrainStatus {
            scope: record.scope.to_string(),
            stage,
            share: 0.25,
            left_ms: 5_000,
            held_by: None,
            in_flight: 4,
            record: Some(record.clone()),
        }]
    }

    fn take(&mut self, name: &str, what: &str, asked: &Asked) -> Answer {
        let order: Order = serde_json::from_str(&asked.body).unwrap();
        self.given
            .push((what.to_owned(), asked.head.clone(), order.clone()));
        let parts: Vec<&str> = what.split('/').collect();
        let scope = match parts.as_slice() {
            [.., "regions", region, _] => json!({ "region": region }),
            [.., pool, server, _] => json!({ "server": { "pool": pool, "server": server } }),
            _ => panic!("{what}"),
        };
        let action = parts.last().unwrap();
        let scope = serde_json::from_value(scope).unwrap();
        let action = serde_json::from_value(json!(action)).unwrap();
        let mut record = order.draft(scope, action, 1.0, 1_000).unwrap();
        record.version = 1;
        record.updated = Stamp {
            wall_ms: 1_000,
            counter: 0,
            replica: name.to_owned(),
        };
        if !order.dry_run {
            self.record = Some(record.clone());
        }
        Answer {
            record,
            forecast: order.dry_run.then(forecast),
            dry_run: order.dry_run,
            unchanged: false,
            durable: true,
            applied: vec![name.to_owned()],
            missing: Vec::new(),
        }
    }
}

fn forecast() -> Forecast {
    serde_json::from_value(json!({
        "region": "eu", "moves_rps": 80.0, "survives_one_more": false,
        "receivers": [{ "region": "us", "takes_rps": 80.0, "before": 0.6, "after": 1.04, "fit": "over" }],
        "refusals": [{ "rule": "over_capacity", "why": "us would be filled to 104 %" }],
    }))
    .unwrap()
}

fn refusal(status: u16) -> Stand {
    Stand::global("g1").refusing(
        status,
        json!({
            "error": "it breaks a rule", "hint": "", "forecast": forecast(),
            "refusals": forecast().refusals,
        }),
    )
}

fn order(admins: &[&str], words: &str) -> Output {
    lbctl()
        .args(["--admin", &admins.join(",")])
        .args(words.split(' '))
        .args(["--actor", "ada", "--timeout-wait", "400ms"])
        .output()
        .unwrap()
}

const DRAIN: &str = "region drain eu --reason maintenance";

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn one_command_to_one_replica_reaches_all() {
    let world = World::shared(&[
        ("g1", &[Stage::Ramping]),
        ("g2", &[Stage::Ramping]),
        ("g3", &[Stage::Ramping]),
    ]);
    let others = ["g2", "g3"].map(|name| (name, Stand::global(name).serve(&world)));
    let peers: Vec<_> = others
        .iter()
        .map(|(name, at)| (*name, at.as_str()))
        .collect();
    let admin = Stand::global("g1").with_peers(&peers).serve(&world);
    let output = order(
        &[&admin],
        &format!("{DRAIN} --over 0s --wait all --ticket OPS-7"),
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = stdout(&output);
    assert!(told.contains("region/eu: drain to 0% at once, by ada: maintenance (OPS-7)"));
    assert!(
        told.contains("applied 3/3") && told.contains("g3"),
        "{told}"
    );
    assert!(stderr(&output).contains("region/eu  applied 3/3"));

    let (what, head, given) = world.lock().unwrap().given.remove(0);
    assert_eq!(what, "POST /api/v1/regions/eu/drain");
    assert!(head.contains("x-lb-request: 1") && head.contains("content-type: application/json"));
    assert!(!head.contains("authorization"), "there is no token: {head}");
    assert_eq!(
        (given.actor.as_str(), given.reason.as_str()),
        ("ada", "maintenance")
    );
}

#[test]
fn the_next_replica_takes_over() {
    let world = World::shared(&[("g2", &[Stage::Ramping])]);
    let full = json!({ "error": "the disk is full", "hint": "make room" });
    let full = Stand::global("g1").refusing(503, full).serve(&world);
    let regional = Stand {
        tier: Tier::Regional,
        ..Stand::global("r1").refusing(404, json!({ "error": "no such path" }))
    };
    let regional = regional.serve(&world);
    let (closed, good) = (closed().to_string(), Stand::global("g2").serve(&world));
    let output = order(
        &[&closed, &full, &regional, &good],
        &format!("{DRAIN} --wait none"),
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(world.lock().unwrap().given.len(), 1);
    let told = stderr(&output);
    for part in [closed.as_str(), "the disk is full", "no such path"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(told.matches("asking the next replica").count(), 3, "{told}");
}

#[test]
fn who_refuses_is_not_gone_round() {
    let world = World::shared(&[]);
    let good = Stand::global("g2").serve(&world);
    let region = json!({ "error": "no such region", "hint": "lbctl regions" });
    for (stand, exit) in [
        (refusal(409), 4),
        (refusal(412), 4),
        (
            Stand::global("g1").refusing(400, json!({ "error": "over is 2d" })),
            2,
        ),
        (
            Stand::global("g1").refusing(401, json!({ "error": "no token" })),
            1,
        ),
        (Stand::global("g1").refusing(404, region), 1),
        (Stand::global("g1").refusing(405, Value::Null), 1),
    ] {
        let admin = stand.serve(&world);
        let output = order(&[&admin, &good], DRAIN);
        assert_eq!(code(&output), exit, "{}", stderr(&output));
        assert!(world.lock().unwrap().given.is_empty(), "exit {exit}");
        assert!(
            exit == 2 || stderr(&output).contains("hint:"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn nobody_there_is_6_and_nobody_able_is_1() {
    let (first, second) = (closed().to_string(), closed().to_string());
    let output = order(&[&first, &second], DRAIN);
    assert_eq!(code(&output), 6);
    assert!(stderr(&output).contains("none of 2 replicas took the order"));
    let full = Stand::global("g1").refusing(503, json!({ "error": "the disk is full" }));
    let full = full.serve(&World::shared(&[]));
    assert_eq!(code(&order(&[&full, &second], DRAIN)), 1);
}

#[test]
fn a_silent_replica_may_have_taken_it() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = silent.local_addr().unwrap().to_string();
    let output = order(&[&admin], &format!("{DRAIN} --timeout 50ms"));
    assert_eq!(code(&output), 5);
    assert!(stderr(&output).contains("may have taken the order"));
}

#[test]
fn a_refusal_is_a_table_and_names_the_override() {
    let admin = refusal(409).serve(&World::shared(&[]));
    let output = order(&[&admin], DRAIN);
    let (told, fault) = (stdout(&output), stderr(&output));
    for part in [
        "RECEIVER",
        "104%",
        "✖ over",
        "N+1 is lost",
        "--override over_capacity",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(fault.contains("it breaks a rule") && fault.contains("--override over_capacity"));

    let json = order(&[&admin], &format!("{DRAIN} -o json"));
    assert_eq!(code(&json), 4);
    let body: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(body["refusals"][0]["rule"], "over_capacity");
}

#[test]
fn another_version_is_told_with_the_order_that_is_in_force() {
    let world = World::shared(&[]);
    let good = Stand::global("g1").serve(&world);
    assert_eq!(code(&order(&[&good], &format!("{DRAIN} --wait none"))), 0);
    let current = world.lock().unwrap().record.clone();
    let body = json!({ "error": "another version", "hint": "look again", "current": current });
    let admin = Stand::global("g1").refusing(412, body).serve(&world);
    let output = order(&[&admin], &format!("{DRAIN} --if-version 7"));
    assert_eq!(code(&output), 4);
    assert!(stdout(&output).contains("by ada: maintenance"));
    assert!(stdout(&output).contains("version 1"));
}

#[test]
fn a_dry_run_shows_where_requests_go_and_changes_nothing() {
    let world = World::shared(&[]);
    let admin = Stand::global("g1").serve(&world);
    let output = order(&[&admin], "region drain eu --dry-run");
    assert_eq!(code(&output), 4, "it would be refused: {}", stderr(&output));
    let told = stdout(&output);
    assert!(
        told.starts_with("dry run of region/eu: drain to 0%"),
        "{told}"
    );
    assert!(told.contains("80.0 requests/s move") && told.contains("✖ over"));
    assert!(world.lock().unwrap().record.is_none());

    let allowed = "region drain eu --dry-run --override over-capacity";
    let output = order(&[&admin], allowed);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("overridden (over_capacity)"));
    let output = order(&[&admin], "region drain eu --dry-run --force -o json");
    assert_eq!(code(&output), 0);
    let body: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(body["forecast"]["receivers"][0]["region"], "us");
}

#[test]
fn too_few_by_the_deadline_is_5_and_names_who_is_missing() {
    let world = World::shared(&[("g1", &[Stage::Ramping]), ("g2", &[])]);
    let closed = closed().to_string();
    let second = Stand::global("g2").serve(&world);
    let peers = [("g2", second.as_str()), ("g3", closed.as_str())];
    let admin = Stand::global("g1").with_peers(&peers).serve(&world);
    let output = order(&[&admin], DRAIN);
    assert_eq!(code(&output), 5);
    let told = stderr(&output);
    assert!(told.contains("applied 1/3 within 400ms"), "{told}");
    assert!(told.contains("g2 (it does not show it yet)") && told.contains("g3 (no admin"));
    assert!(stdout(&output).contains("applied 1/3"), "the data is there");

    let output = order(&[&admin], &format!("{DRAIN} -o json --quiet"));
    let body: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(body["missing"], json!(["g2", "g3"]));
    assert_eq!(body["replicas"][0]["status"]["stage"], "ramping");
    assert!(!stderr(&output).contains("region/eu  applied"), "quiet");
}

#[test]
fn a_majority_is_enough_and_the_rest_is_told() {
    let world = World::shared(&[("g1", &[Stage::Ramping]), ("g2", &[Stage::Ramping])]);
    let closed = closed().to_string();
    let second = Stand::global("g2").serve(&world);
    let peers = [("g2", second.as_str()), ("g3", closed.as_str())];
    let admin = Stand::global("g1").with_peers(&peers).serve(&world);
    let output = order(&[&admin], DRAIN);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("applied 2/3"));
    assert!(stderr(&output).contains("not yet: g3"));
    assert_eq!(code(&order(&[&admin], &format!("{DRAIN} --wait all"))), 5);
}

#[test]
fn waiting_ends_when_it_is_drained_everywhere() {
    use Stage::{Drained, Draining, Ramping};
    let world = World::shared(&[("g1", &[Ramping, Draining, Drained]), ("g2", &[Drained])]);
    let second = Stand::global("g2").serve(&world);
    let admin = Stand::global("g1")
        .with_peers(&[("g2", &second)])
        .serve(&world);
    let output = order(&[&admin], &format!("{DRAIN} --wait-drained"));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = stderr(&output);
    assert!(
        told.contains("drained 1/2  draining  share 25%  in flight 8  left 5s"),
        "{told}"
    );
    assert!(told.contains("drained 2/2"), "{told}");
    assert!(!told.contains('\r'), "no terminal, no line that changes");
}

#[test]
fn what_is_not_drained_in_time_is_5() {
    let world = World::shared(&[("g1", &[Stage::Draining])]);
    let admin = Stand::global("g1").serve(&world);
    let late = format!("{DRAIN} --wait-drained --timeout-drained 50ms");
    let output = order(&[&admin], &late);
    assert_eq!(code(&output), 5);
    assert!(
        stderr(&output).contains("in flight 4"),
        "{}",
        stderr(&output)
    );

    let world = World::shared(&[("g1", &[Stage::Drained])]);
    let closed = closed().to_string();
    let peers = [("g2", closed.as_str())];
    let admin = Stand::global("g1").with_peers(&peers).serve(&world);
    let output = order(&[&admin], &format!("{DRAIN} --wait none --wait-drained"));
    assert_eq!(code(&output), 5);
    assert!(
        stderr(&output).contains("no word from g2"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_suspended_order_is_4() {
    let world = World::shared(&[("g1", &[Stage::Suspended])]);
    let admin = Stand::global("g1").serve(&world);
    let output = order(&[&admin], DRAIN);
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("does not obey"));
}

#[test]
fn every_verb_has_its_path_and_body() {
    let world = World::shared(&[]);
    let admin = Stand::global("g1").serve(&world);
    for (words, path, part) in [
        (
            "region undrain eu --over 30s",
            "regions/eu/undrain",
            json!({ "over": "30s" }),
        ),
        (
            "region dial eu 30% --reason x",
            "regions/eu/dial",
            json!({ "percent": 30 }),
        ),
        (
            "region offline eu --yes --reason x --force",
            "regions/eu/offline",
            json!({ "force": true }),
        ),
        (
            "region drain eu --reason x --percent 40 --expires never --session honor --session-grace 2m",
            "regions/eu/drain",
            json!({ "percent": 40, "permanent": true, "session_policy": "honor", "session_grace": "2m" }),
        ),
        (
            "server drain web/web-1 --reason x --expires 4h --if-version 0",
            "servers/web/web-1/drain",
            json!({ "expires": "4h", "if_version": 0 }),
        ),
        (
            "server undrain web/web-1",
            "servers/web/web-1/undrain",
            json!({ "reason": "" }),
        ),
    ] {
        let output = order(&[&admin], &format!("{words} --wait none -o name"));
        assert_eq!(code(&output), 0, "{words}: {}", stderr(&output));
        let (what, _, given) = world.lock().unwrap().given.pop().unwrap();
        assert_eq!(what, format!("POST /api/v1/{path}"));
        let given = json!(given);
        for (key, value) in part.as_object().unwrap() {
            assert_eq!(&given[key], value, "{words}: {key}");
        }
        let scope = path.rsplit_once('/').unwrap().0;
        let scope = format!("{}\n", scope.replacen("s/", "/", 1));
        assert_eq!(stdout(&output), scope, "the name is what it is about");
    }
}

#[test]
fn nonsense_is_2_before_anyone_is_asked() {
    for words in [
        "region drain eu",
        "region drain eu --reason x --percent 0",
        "region drain eu --reason x --over 30",
        "region drain eu --reason x --override everything",
        "region drain e/u --reason x",
        "region dial eu --reason x",
        "region dial eu 101% --reason x",
        "region offline eu --reason x",
        "server drain web --reason x",
    ] {
        let output = order(&["127.0.0.1:1"], words);
        assert_eq!(code(&output), 2, "{words}: {}", stderr(&output));
    }
    assert_eq!(code(&run(&["region"])), 2);
}

#[test]
fn the_person_is_named_by_the_environment() {
    let world = World::shared(&[]);
    let admin = Stand::global("g1").serve(&world);
    let ordered = |sudo: Option<&str>| {
        let mut command = lbctl();
        command
            .args(["--admin", &admin, "-q"])
            .args(DRAIN.split(' '));
        command.args(["--wait", "none"]).env("USER", "root");
        let output = command
            .envs(sudo.map(|name| ("SUDO_USER", name)))
            .output()
            .unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        world.lock().unwrap().given.pop().unwrap().2.actor
    };
    assert!(ordered(None).starts_with("root@"));
    assert!(ordered(Some("ada")).starts_with("ada@"));
}

#[test]
fn tokens_go_to_addresses_and_not_to_sockets() {
    let directory = std::env::temp_dir().join(format!("lbctl-token-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let world = World::shared(&[("g1", &[Stage::Ramping])]);
    let stand = Stand::global("g1");
    let (tcp, shared) = (stand.clone().serve(&world), Arc::clone(&world));
    let socket = serve_unix(&directory.join("admin.sock"), move |asked| {
        stand.answer(asked, &shared)
    });
    let mut heads = Vec::new();
    for admin in [&tcp, &socket] {
        let words = format!("{DRAIN} --token-file {}", file.display());
        let output = order(&[admin], &words);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(!stderr(&output).contains("s3cret"));
        heads.push(world.lock().unwrap().given.pop().unwrap().1);
    }
    std::fs::write(&file, "two words\n").unwrap();
    let bad = order(&[&tcp], &format!("{DRAIN} --token-file {}", file.display()));
    let gone = order(&["unix:/nowhere/admin.sock"], DRAIN);
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(
        heads[0].contains("authorization: bearer s3cret"),
        "{}",
        heads[0]
    );
    assert!(!heads[1].contains("authorization") && heads[1].contains("x-lb-request: 1"));
    assert_eq!((code(&bad), code(&gone)), (1, 6), "{}", stderr(&gone));
    assert!(!stderr(&bad).contains("two words"));
}

#[test]
fn orders_in_force_are_listed_and_stand_in_the_status() {
    let world = World::shared(&[("g1", &[Stage::Drained]), ("g2", &[Stage::Drained])]);
    let second = Stand::global("g2").serve(&world);
    let admin = Stand::global("g1")
        .with_peers(&[("g2", &second)])
        .serve(&world);
    let status = run(&["--admin", &admin, "status"]);
    assert!(!stdout(&status).contains("drains"), "{}", stdout(&status));
    let list = run(&["--admin", &admin, "region", "drains"]);
    assert_eq!(stdout(&list), "no orders in force\n");

    let given = order(&[&admin], &format!("{DRAIN} --expires never"));
    assert_eq!(code(&given), 0, "{}", stderr(&given));
    let list = run(&["--admin", &admin, "region", "drains"]);
    let told = stdout(&list);
    assert!(
        told.contains("◌ drained") && told.contains("drained 2/2"),
        "{told}"
    );
    let status = run(&["--admin", &admin, "status"]);
    let line = "drains  eu drained 2/2 (by ada: maintenance, never expires)";
    assert!(stdout(&status).contains(line), "{}", stdout(&status));
    let names = run(&["--admin", &admin, "region", "drains", "-o", "name"]);
    assert_eq!(stdout(&names), "region/eu\n");
    let json = run(&["--admin", &admin, "server", "drains", "-o", "json"]);
    let body: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(body[0]["record"]["actor"], "ada");
}

#[test]
fn completions_know_the_orders() {
    let output = run(&["completions", "bash"]);
    for word in ["undrain", "--wait-drained", "over_capacity"] {
        assert!(stdout(&output).contains(word), "{word}");
    }
}
