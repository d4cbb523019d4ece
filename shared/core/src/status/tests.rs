use super::*;

#[test]
fn an_older_reader_survives_a_newer_writer() {
    let text = r#"{"tier":"global","replica":"g1","news":1,
        "regions":[{"name":"eu","state":"melting","replicas":[{"server":"r1","state":"frozen"}]}]}"#;
    let status: Status = serde_json::from_str(text).unwrap();
    assert_eq!(status.tier, Tier::Global);
    assert_eq!(status.regions[0].state, RegionState::Unknown);
    assert_eq!(status.regions[0].replicas[0].state, EndpointState::Unknown);
}

#[test]
fn states_are_written_as_their_labels() {
    for state in EndpointState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for state in RegionState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for state in [PeerState::Asked, PeerState::Itself, PeerState::Gone] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    assert_eq!(
        serde_json::to_value(Lifecycle::LameDuck).unwrap(),
        Lifecycle::LameDuck.as_str()
    );
}

#[test]
fn a_status_survives_the_wire() {
    let status = Status {
        replica: "r1".to_owned(),
        config: ConfigStatus {
            error: Some(vec![ConfigFault::default()]),
            ..ConfigStatus::default()
        },
        pools: vec![PoolStatus {
            endpoints: vec![EndpointStatus {
                latency_ms: Some(0.25),
                last_check: Some(CheckStatus::default()),
                ..EndpointStatus::default()
            }],
            ..PoolStatus::default()
        }],
        ..Status::default()
    };
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
}

#[test]
fn the_schema_names_every_part() {
    let schema = serde_json::to_value(schemars::schema_for!(Status)).unwrap();
    for part in [
        "PoolStatus",
        "RegionStatus",
        "EndpointStatus",
        "ConfigFault",
    ] {
        assert!(schema["$defs"][part].is_object(), "{part}");
    }
}

#[test]
fn faults_print_in_the_form_that_editors_jump_to() {
    let fault = ConfigFault {
        file: "global.yaml".to_owned(),
        line: 3,
        column: 7,
        reason: "unknown key \"wieght\"".to_owned(),
        hint: Some("did you mean \"weight\"?".to_owned()),
    };
    assert_eq!(
        fault.to_string(),
        "global.yaml:3:7: unknown key \"wieght\" (did you mean \"weight\"?)"
    );
}
