use super::*;
use std::fs;
use std::os::unix::fs::symlink;

fn names(layers: &Layers) -> Vec<&str> {
    let files = layers.included.iter();
    files
        .filter_map(|file| Path::new(&file.name).file_name()?.to_str())
        .collect()
}

#[test]
fn patterns_are_taken_in_their_order_and_files_in_that_of_their_names() {
    let directory = tempfile::Builder::new().prefix("[a]*").tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("pools")).unwrap();
    for name in [
        "pools/b.yaml",
        "pools/a.yaml",
        "pools/.hidden.yaml",
        "routes.yaml",
    ] {
        fs::write(at(name), "").unwrap();
    }
    fs::create_dir(at("pools/directory.yaml")).unwrap();
    fs::write(
        at("main.yaml"),
        "include: [routes.yaml, pools/*.yaml, none/*.yaml]",
    )
    .unwrap();
    let layers = read(&at("main.yaml")).unwrap();
    assert_eq!(names(&layers), ["routes.yaml", "a.yaml", "b.yaml"]);
}

#[test]
fn a_volume_of_kubernetes_is_read_once_through_its_links() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("..2026_01_01")).unwrap();
    fs::write(at("..2026_01_01/pools.yaml"), "pools: []").unwrap();
    symlink("..2026_01_01", at("..data")).unwrap();
    symlink("..data/pools.yaml", at("pools.yaml")).unwrap();
    fs::write(at("main"), "include: ['*.yaml']").unwrap();
    let layers = read(&at("main")).unwrap();
    assert_eq!(names(&layers), ["pools.yaml"]);
    assert_eq!(layers.included[0].text, "pools: []");
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let main = directory.path().join("main.yaml");
    fs::write(&main, "include: [pools.yaml]").unwrap();
    let error = read(&main).unwrap_err().to_string();
    assert!(error.contains("pools.yaml: No such file"), "{error}");
    fs::write(&main, "include: ['a[.yaml']").unwrap();
    let error = read(&main).unwrap_err().to_string();
    assert!(error.contains("include \"a[.yaml\""), "{error}");
}
