use std::future::Future;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use insta::assert_snapshot;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, GetParams, ListParams, Patch, PatchParams, PostParams, VersionMatch, WatchEvent,
    WatchParams,
};
use kube::{Client, Error};
use serde_json::json;
use tokio::time::{Instant, timeout};
use zdd_sim::{Fault, Faults, Plan};

use super::{Bed, config_map, told};

/// A client whose requests meet the faults of a plan.
fn faulty(bed: &Bed, plan: &str) -> (Faults, Api<ConfigMap>) {
    let faults = Faults::new(plan.parse().unwrap());
    let client = Client::new(bed.server.clone().with_faults(faults.clone()), "default");
    (faults, Api::default_namespaced(client))
}

async fn exists(bed: &Bed, name: &str) -> bool {
    bed.config_maps().get_opt(name).await.unwrap().is_some()
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> Result<ConfigMap, Error> {
    maps.create(&PostParams::default(), &config_map(name)).await
}

/// Nothing else can happen within an hour of virtual time.
async fn hangs(request: impl Future) -> bool {
    timeout(Duration::from_secs(3600), request).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn errors_come_before_or_after_the_effect() {
    let bed = Bed::new();
    let (faults, maps) = faulty(&bed, "0:error-before=500,1:error-after=504");
    assert!(told(create(&maps, "a").await).starts_with("500 InternalError"));
    assert!(!exists(&bed, "a").await);
    assert!(told(create(&maps, "b").await).starts_with("504 Timeout"));
    assert!(exists(&bed, "b").await);
    assert_eq!(faults.injected().len(), 2);
    create(&maps, "c").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_break_before_or_after_the_effect() {
    let bed = Bed::new();
    let (_, maps) = faulty(&bed, "0:drop-before,1:drop-after");
    for (name, effect) in [("a", false), ("b", true)] {
        assert!(matches!(create(&maps, name).await, Err(Error::Service(_))));
        assert_eq!(exists(&bed, name).await, effect);
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_requests_never_answer() {
    let bed = Bed::new();
    let (_, maps) = faulty(&bed, "0:hang-before,1:hang-after");
    for (name, effect) in [("a", false), ("b", true)] {
        assert!(hangs(create(&maps, name)).await);
        assert_eq!(exists(&bed, name).await, effect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_told_to_the_harness_and_silences_the_client() {
    let bed = Bed::new();
    for (plan, effect) in [("1:crash-before", false), ("1:crash-after", true)] {
        let (faults, maps) = faulty(&bed, plan);
        let name = if effect { "b" } else { "a" };
        maps.list(&ListParams::default()).await.unwrap();
        assert!(!faults.has_crashed());
        tokio::select! {
            _ = create(&maps, name) => panic!("a dead client got an answer"),
            () = faults.crashed() => {}
        }
        assert_eq!(exists(&bed, name).await, effect);
        assert!(hangs(maps.list(&ListParams::default())).await);
    }
}

#[tokio::test(start_paused = true)]
async fn conflicts_and_throttling_have_the_servers_words() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let (_, maps) = faulty(&bed, "0:conflict,1:too-many-requests=3");
    let patch = Patch::Merge(json!({ "data": { "a": "2" } }));
    assert_snapshot!(told(maps.patch("a", &PatchParams::default(), &patch).await),
        @r#"409 Conflict: Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again"#);
    let status = super::refusal(maps.get("a").await);
    assert!(status.message.starts_with("the server has received too many requests"));
    assert_eq!(status.details.unwrap().retry_after_seconds, 3);
    assert_eq!(maps.get("a").await.unwrap().data.unwrap()["a"], "1");
}

#[tokio::test(start_paused = true)]
async fn stale_reads_show_the_past() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    bed.add_config_map("b").await;
    let (_, maps) = faulty(&bed, "0:stale=1,1:stale=1,2:stale=2");
    let list = maps.list(&ListParams::default().match_any()).await.unwrap();
    assert_eq!(list.items.len(), 1);
    assert_eq!(list.metadata.resource_version.as_deref(), Some("6"));
    assert!(told(maps.get_with("b", &GetParams::any()).await).starts_with("404"));
    let mut watch = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let mut seen = Vec::new();
    for _ in 0..2 {
        match watch.next().await.unwrap().unwrap() {
            WatchEvent::Added(map) => seen.push(map.metadata.name.unwrap()),
            WatchEvent::Bookmark(_)
            | WatchEvent::Deleted(_)
            | WatchEvent::Error(_)
            | WatchEvent::Modified(_) => panic!("only additions can come"),
        }
    }
    assert_eq!(seen, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn consistent_reads_are_never_stale() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    bed.add_config_map("b").await;
    let (faults, maps) = faulty(&bed, "0:stale=9,1:stale=9,2:stale=9,3:stale=9");
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 2);
    maps.get("b").await.unwrap();
    let page = maps.list(&ListParams::default().limit(1).at("6")).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.metadata.resource_version.as_deref(), Some("6"));
    create(&maps, "c").await.unwrap();
    assert_eq!(faults.injected(), []);
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_shows_nothing_older_than_what_the_client_knows() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    bed.add_config_map("b").await;
    bed.add_config_map("c").await;
    let (faults, maps) = faulty(&bed, "0:stale=9,1:stale=9");
    let list = maps
        .list(&ListParams::default().at("7").matching(VersionMatch::NotOlderThan))
        .await
        .unwrap();
    assert_eq!(list.items.len(), 2);
    assert!(told(maps.get_with("c", &GetParams::at("7")).await).starts_with("404"));
    assert_eq!(faults.injected().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watch_ends_in_an_error_after_its_events() {
    let bed = Bed::new();
    for name in ["a", "b", "c"] {
        bed.add_config_map(name).await;
    }
    let (_, maps) = faulty(&bed, "0:watch-drop=2");
    let mut watch = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(watch.next().await.unwrap().is_ok());
    assert!(watch.next().await.unwrap().is_ok());
    assert!(watch.next().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stale_watch_delivers_late_and_in_order() {
    let bed = Bed::new();
    let (_, maps) = faulty(&bed, "0:watch-stale=5000");
    let watch = maps.watch(&WatchParams::default().timeout(60), "0").await.unwrap();
    let begun = Instant::now();
    let writer = async {
        for name in ["a", "b"] {
            bed.add_config_map(name).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    let reader = watch.take(2).map_ok(|_| begun.elapsed().as_secs()).try_collect::<Vec<_>>();
    let ((), seen) = tokio::join!(writer, reader);
    assert_eq!(seen.unwrap(), [5, 7]);
}

#[tokio::test(start_paused = true)]
async fn gone_comes_as_an_event_or_as_a_status() {
    let bed = Bed::new();
    let (_, maps) = faulty(&bed, "0:gone,1:gone-http,3:gone");
    let mut watch = maps.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    let event = watch.next().await.unwrap().unwrap();
    let WatchEvent::Error(status) = event else { panic!("{event:?}") };
    assert_eq!((status.code, &*status.reason), (410, "Expired"));
    let refused = maps.watch(&WatchParams::default(), "1").await.map(|_| ());
    assert!(told(refused).starts_with("410 Expired"));

    bed.add_config_map("a").await;
    bed.add_config_map("b").await;
    let page = ListParams::default().limit(1);
    let token = maps.list(&page).await.unwrap().metadata.continue_.unwrap();
    assert!(told(maps.list(&page.continue_token(&token)).await).starts_with("410 Expired"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_gone_for_a_request_that_names_no_revision() {
    let bed = Bed::new();
    let (faults, maps) = faulty(&bed, "0:gone,1:gone,2:gone-http");
    maps.list(&ListParams::default()).await.unwrap();
    maps.list(&ListParams::default().match_any()).await.unwrap();
    let _watch = maps.watch(&WatchParams::default(), "0").await.unwrap();
    assert_eq!(faults.injected(), []);
}

#[tokio::test(start_paused = true)]
async fn requests_are_recorded_in_order_and_misfits_are_not_injected() {
    let bed = Bed::new();
    let (faults, maps) = faulty(&bed, "0:conflict");
    create(&maps, "a").await.unwrap();
    maps.get("a").await.unwrap();
    let seen: Vec<String> = faults.requests().iter().map(ToString::to_string).collect();
    assert_eq!(seen, ["create configmaps", "get configmaps/a"]);
    assert_eq!(faults.injected(), []);
}

#[tokio::test(start_paused = true)]
async fn a_plan_made_in_code_equals_its_text() {
    let plan = Plan::single(3, Fault::CrashAfter).with(7, Fault::ErrorBefore { status: 500 });
    assert_eq!(plan.to_string(), "3:crash-after,7:error-before=500");
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_answers_nothing_and_ends_watches() {
    let cluster = zdd_sim::Cluster::builder().build();
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    create(&maps, "before").await.unwrap();
    let mut watch = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    cluster.stop_api();
    assert!(watch.next().await.unwrap().is_err());
    assert!(watch.next().await.is_none());
    assert!(create(&maps, "meanwhile").await.is_err());
    assert!(maps.watch(&WatchParams::default(), "0").await.is_err());
    cluster.start_api();
    assert!(maps.get_opt("before").await.unwrap().is_some());
    assert!(maps.get_opt("meanwhile").await.unwrap().is_none());
}
