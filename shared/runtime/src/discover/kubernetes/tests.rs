use super::convert::slice;
use super::*;
use serde_json::{Value, json};

fn example(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "labels": { "kubernetes.io/service-name": "web", "strata.dev/weight": "7" },
            "annotations": { "strata.dev/weight": "2" },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080 }, { "name": "dns", "port": 53, "protocol": "UDP" }],
        "endpoints": [{
            "addresses": ["10.0.0.1"],
            "conditions": { "ready": false, "serving": true, "terminating": true },
            "targetRef": { "kind": "Pod", "name": "web-1", "uid": "u" },
            "zone": "a",
            "hints": { "forZones": [{ "name": "b" }] },
        }, { "addresses": ["10.0.0.999"] }],
    })
}

fn api(value: Value) -> EndpointSlice {
    serde_json::from_value(value).unwrap()
}

#[test]
fn what_matters_of_a_slice_is_kept() {
    let read = slice(api(example("s")));
    assert_eq!((read.name.as_str(), read.service.as_str()), ("s", "web"));
    assert_eq!(read.service_weight.as_deref(), Some("7"));
    assert_eq!(read.server_weight.as_deref(), Some("2"));
    assert_eq!(
        (read.ports[0].number, read.ports[0].is_tcp),
        (Some(8080), true)
    );
    assert!(!read.ports[1].is_tcp);
    let [first, second] = read.mentions.try_into().unwrap();
    assert_eq!(first.address, Some([10, 0, 0, 1].into()));
    assert_eq!(
        (first.uid.as_deref(), first.target.as_deref()),
        (Some("u"), Some("web-1"))
    );
    assert_eq!(
        (first.ready, first.serving, first.terminating),
        (Some(false), Some(true), Some(true))
    );
    assert_eq!(
        (first.zone.as_deref(), first.hints.as_slice()),
        (Some("a"), &["b".to_owned()][..])
    );
    assert_eq!((second.address, second.ready), (None, None));
    let bare = slice(api(
        json!({ "metadata": {}, "addressType": "IPv6", "endpoints": null }),
    ));
    assert_eq!((bare.mentions.len(), bare.ports.len()), (0, 0));
}
