use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::watcher;
use kube::{Client, Error};
use serde_json::json;
use zdd_sim::Gone;

use super::{Bed, told};

async fn set(maps: &Api<ConfigMap>, name: &str, value: &str) {
    let patch =
        Patch::Merge(json!({ "data": { "a": value }, "metadata": { "labels": { "v": value } } }));
    maps.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

fn line(event: &WatchEvent<ConfigMap>) -> String {
    match event {
        WatchEvent::Added(map) => format!("+{}", map.metadata.name.as_deref().unwrap()),
        WatchEvent::Modified(map) => format!("~{}", map.metadata.name.as_deref().unwrap()),
        WatchEvent::Deleted(map) => format!("-{}", map.metadata.name.as_deref().unwrap()),
        WatchEvent::Bookmark(mark) => format!("@{}", mark.metadata.resource_version),
        WatchEvent::Error(status) => format!("!{} {}", status.code, status.message),
    }
}

async fn next(
    stream: &mut (impl Stream<Item = Result<WatchEvent<ConfigMap>, Error>> + Unpin),
) -> String {
    line(&stream.next().await.unwrap().unwrap())
}

#[tokio::test(start_paused = true)]
async fn changes_after_a_revision_arrive_in_order() {
    let bed = Bed::new();
    let maps = bed.config_maps();
    let first = bed.add_config_map("a").await;
    bed.add_config_map("b").await;
    set(&maps, "a", "2").await;
    let from = first.metadata.resource_version.unwrap();
    let mut stream = pin!(maps.watch(&WatchParams::default(), &from).await.unwrap());
    assert_eq!([next(&mut stream).await, next(&mut stream).await], ["+b", "~a"]);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut stream).await, "-a");
}

#[tokio::test(start_paused = true)]
async fn revision_zero_begins_with_what_is_there() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let maps = bed.config_maps();
    let mut stream = pin!(maps.watch(&WatchParams::default(), "0").await.unwrap());
    assert_eq!(next(&mut stream).await, "+a");
    bed.add_config_map("b").await;
    assert_eq!(next(&mut stream).await, "+b");
}

#[tokio::test(start_paused = true)]
async fn leaving_the_selection_is_a_deletion() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let maps = bed.config_maps();
    let params = WatchParams::default().labels("v=2");
    let mut stream = pin!(maps.watch(&params, "0").await.unwrap());
    for (value, expected) in [("2", "+a"), ("3", "-a")] {
        set(&maps, "a", value).await;
        assert_eq!(next(&mut stream).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_at_its_timeout() {
    let bed = Bed::new();
    let begun = tokio::time::Instant::now();
    let params = WatchParams::default().timeout(30).disable_bookmarks();
    let stream = bed.config_maps().watch(&params, "0").await.unwrap();
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().len(), 0);
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn bookmarks_tell_the_newest_revision() {
    let bed = Bed::new();
    let maps = bed.config_maps();
    let mut stream = pin!(maps.watch(&WatchParams::default(), "0").await.unwrap());
    bed.add_pod("p").await;
    assert_eq!(next(&mut stream).await, "@6");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_revision_is_an_error_event() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    bed.add_config_map("b").await;
    bed.store.lock().unwrap().compact();
    let maps = bed.config_maps();
    let mut stream = pin!(maps.watch(&WatchParams::default(), "3").await.unwrap());
    assert_eq!(next(&mut stream).await, "!410 too old resource version: 3 (7)");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_revision_can_be_an_http_status() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    bed.store.lock().unwrap().compact();
    let client = Client::new(bed.server.clone().with_gone(Gone::Http), "default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let refused = maps.watch(&WatchParams::default(), "3").await.map(|_| ());
    assert_eq!(told(refused), "410 Expired: too old resource version: 3 (6)");
}

#[tokio::test(start_paused = true)]
async fn the_runtime_watcher_follows_and_relists_after_410() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let mut stream = pin!(watcher(bed.config_maps(), watcher::Config::default()));
    for expected in ["Init", "InitApply", "InitDone"] {
        assert_eq!(short(&stream.next().await.unwrap().unwrap()), expected);
    }
    bed.add_config_map("b").await;
    assert_eq!(short(&stream.next().await.unwrap().unwrap()), "Apply");
    for _ in 0..2 {
        bed.add_config_map(&format!("c{}", bed.store.lock().unwrap().revision())).await;
    }
    bed.store.lock().unwrap().compact();
    assert!(stream.next().await.unwrap().is_err());
    let mut seen = Vec::new();
    while seen.last() != Some(&"InitDone") {
        seen.push(short(&stream.next().await.unwrap().unwrap()));
    }
    assert_eq!(seen, ["Init", "InitApply", "InitApply", "InitApply", "InitApply", "InitDone"]);
}

#[tokio::test(start_paused = true)]
async fn the_runtime_watcher_can_stream_its_list() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let mut stream = pin!(watcher(bed.config_maps(), watcher::Config::default().streaming_lists()));
    let mut seen = Vec::new();
    while seen.last() != Some(&"InitDone") {
        seen.push(short(&stream.next().await.unwrap().unwrap()));
    }
    assert_eq!(seen, ["Init", "InitApply", "InitDone"]);
}

fn short(event: &watcher::Event<ConfigMap>) -> &'static str {
    match event {
        watcher::Event::Apply(_) => "Apply",
        watcher::Event::Delete(_) => "Delete",
        watcher::Event::Init => "Init",
        watcher::Event::InitApply(_) => "InitApply",
        watcher::Event::InitDone => "InitDone",
    }
}
