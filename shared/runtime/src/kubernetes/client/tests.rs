use super::*;

fn kubeconfig(user: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{ name: k, cluster: {{ server: \"http://127.0.0.1:1\"{more} }} }}]\n\
         users: [{{ name: u, user: {{ {user} }} }}]\n\
         contexts: [{{ name: c, context: {{ cluster: k, user: u, namespace: lb }} }}]\n"
    )
}

async fn made(user: &str, more: &str) -> Result<Client, Fault> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    std::fs::write(&path, kubeconfig(user, more)).unwrap();
    std::fs::write(dir.path().join("token"), "secret\n").unwrap();
    Access::new(Some(path)).client().await
}

#[tokio::test]
async fn a_kubeconfig_is_enough_and_says_what_it_lacks() {
    let client = made("tokenFile: token", "").await.unwrap();
    assert_eq!(client.default_namespace(), "lb");
    let missing = made("tokenFile: nowhere", "").await.err().unwrap();
    assert!(missing.to_string().contains("nowhere"), "{missing}");
    let runs = "exec: { apiVersion: client.authentication.k8s.io/v1, command: aws }";
    let refused = made(runs, "").await.err().unwrap();
    assert!(refused.to_string().contains("`exec`"), "{refused}");
    let refused = made("token: a", ", proxy-url: \"http://p:1\"").await;
    assert!(refused.err().unwrap().to_string().contains("`proxy-url`"));
    let nothing = Access::new(Some("/nowhere/config".into())).client().await;
    assert!(
        nothing
            .err()
            .unwrap()
            .to_string()
            .contains("/nowhere/config")
    );
}

#[tokio::test]
async fn outside_of_a_pod_it_says_so() {
    let error = Access::new(None).client().await.err().unwrap();
    assert!(
        error.to_string().contains("KUBERNETES_SERVICE_HOST") || error.to_string().contains("pod"),
        "{error}"
    );
}
