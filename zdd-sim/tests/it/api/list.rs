use insta::assert_snapshot;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Bed, config_map, refusal, told};

fn names(list: &kube::core::ObjectList<ConfigMap>) -> Vec<&str> {
    list.items.iter().map(|item| item.metadata.name.as_deref().unwrap()).collect()
}

async fn three() -> Bed {
    let bed = Bed::new();
    for name in ["a", "b", "c"] {
        bed.add_config_map(name).await;
    }
    bed
}

#[tokio::test(start_paused = true)]
async fn labels_select() {
    let maps = three().await.config_maps();
    for (selector, expected) in [
        ("app=a", vec!["a"]),
        ("app!=a", vec!["b", "c"]),
        ("app in (a, c)", vec!["a", "c"]),
        ("app notin (a),app", vec!["b", "c"]),
        ("!app", vec![]),
        ("app==b,!other", vec!["b"]),
    ] {
        let list = maps.list(&ListParams::default().labels(selector)).await.unwrap();
        assert_eq!(names(&list), expected, "{selector}");
    }
}

#[tokio::test(start_paused = true)]
async fn fields_select_where_the_kind_has_them() {
    let bed = three().await;
    let maps = bed.config_maps();
    let list = maps.list(&ListParams::default().fields("metadata.name=b")).await.unwrap();
    assert_eq!(names(&list), ["b"]);
    bed.add_pod("p").await;
    let on = |node: &str| ListParams::default().fields(&format!("spec.nodeName={node}"));
    assert_eq!(bed.pods().list(&on("n1")).await.unwrap().items.len(), 1);
    assert_eq!(bed.pods().list(&on("n2")).await.unwrap().items.len(), 0);
    assert_snapshot!(told(bed.pods().list(&ListParams::default().fields("spec.x=1")).await),
        @"400 BadRequest: field label not supported: spec.x");
    assert_snapshot!(told(maps.list(&ListParams::default().fields("data.a=1")).await),
        @r#"400 BadRequest: "data.a" is not a known field selector: only "metadata.name", "metadata.namespace""#);
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_apart_and_can_be_listed_together() {
    let bed = three().await;
    let system: Api<ConfigMap> = Api::namespaced(bed.client.clone(), "kube-system");
    system.create(&PostParams::default(), &config_map("d")).await.unwrap();
    let all: Api<ConfigMap> = Api::all(bed.client.clone());
    assert_eq!(names(&all.list(&ListParams::default()).await.unwrap()), ["a", "b", "c", "d"]);
    assert_eq!(names(&system.list(&ListParams::default()).await.unwrap()), ["d"]);
}

#[tokio::test(start_paused = true)]
async fn pages_show_one_moment() {
    let bed = three().await;
    let maps = bed.config_maps();
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first.metadata.remaining_item_count, Some(1));
    bed.add_config_map("d").await;
    let patch = Patch::Merge(json!({ "data": { "a": "2" } }));
    maps.patch("c", &PatchParams::default(), &patch).await.unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = maps.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!(names(&rest), ["c"]);
    assert_eq!(rest.items[0].data.as_ref().unwrap()["a"], "1");
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(rest.metadata.continue_, None);
}

#[tokio::test(start_paused = true)]
async fn an_expired_page_offers_to_go_on_inconsistently() {
    let bed = three().await;
    let maps = bed.config_maps();
    let first = maps.list(&ListParams::default().limit(1)).await.unwrap();
    bed.add_config_map("d").await;
    bed.store.lock().unwrap().compact();
    bed.add_config_map("e").await;
    let params = ListParams::default().continue_token(&first.metadata.continue_.unwrap());
    let status = refusal(maps.list(&params).await);
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    let token = status.metadata.unwrap().continue_.unwrap();
    let rest = maps.list(&ListParams::default().continue_token(&token)).await.unwrap();
    assert_eq!(names(&rest), ["b", "c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_can_be_read_at_an_exact_revision() {
    let bed = three().await;
    let maps = bed.config_maps();
    let seen = maps.list(&ListParams::default()).await.unwrap();
    bed.add_config_map("d").await;
    let at = seen.metadata.resource_version.unwrap();
    let old =
        maps.list(&ListParams::default().at(&at).matching(kube::api::VersionMatch::Exact)).await;
    assert_eq!(names(&old.unwrap()), ["a", "b", "c"]);
    let new = maps
        .list(&ListParams::default().at(&at).matching(kube::api::VersionMatch::NotOlderThan))
        .await;
    assert_eq!(names(&new.unwrap()), ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_revision_to_come_times_out() {
    let bed = three().await;
    let params = ListParams::default().at("999").matching(kube::api::VersionMatch::NotOlderThan);
    assert_snapshot!(told(bed.config_maps().list(&params).await),
        @"504 Timeout: Timeout: Too large resource version: 999, current: 8");
}
