use kube::discovery::{Discovery, Scope};

use super::Bed;

#[tokio::test(start_paused = true)]
async fn discovery_finds_what_is_served() {
    let bed = Bed::new();
    assert_eq!(bed.client.apiserver_version().await.unwrap().minor, "37");
    let found = Discovery::new(bed.client.clone()).run().await.unwrap();
    let apps = found.get("apps").unwrap();
    let (resource, capabilities) = apps.recommended_kind("Deployment").unwrap();
    assert_eq!(resource.plural, "deployments");
    assert_eq!(capabilities.scope, Scope::Namespaced);
    assert!(capabilities.supports_operation("patch"));
    let scale = capabilities.subresources.iter().find(|(it, _)| it.kind == "Scale");
    assert!(scale.is_some(), "{:?}", capabilities.subresources);
}

#[tokio::test(start_paused = true)]
async fn aggregated_discovery_tells_the_same_at_once() {
    let bed = Bed::new();
    let plain = Discovery::new(bed.client.clone()).run().await.unwrap();
    let at_once = Discovery::new(bed.client.clone()).run_aggregated().await.unwrap();
    let names = |found: &Discovery| {
        let mut all: Vec<String> = found
            .groups()
            .flat_map(|group| group.recommended_resources())
            .map(|(it, _)| format!("{}/{}", it.api_version, it.plural))
            .collect();
        all.sort();
        all
    };
    assert_eq!(names(&plain), names(&at_once));
    assert!(names(&plain).contains(&"v1/pods".to_owned()));
}
