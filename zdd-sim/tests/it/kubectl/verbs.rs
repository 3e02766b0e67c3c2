//! Each verb on each kind that has a use for it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::custom::DEFINITION;
use super::kinds::{ALL, EVENT};
use super::{Bed, LIMIT, WEB, with_each};

/// The kinds that make pods of one container `c` or `app`.
const IMAGES: [(&str, &str); 5] = [
    ("deployment/web", "app"),
    ("replicaset/a", "c"),
    ("statefulset/a", "c"),
    ("daemonset/a", "c"),
    ("pod/a", "c"),
];

fn manifest(object: &str) -> &'static str {
    ALL.iter().find(|(name, _)| *name == object).unwrap().1
}

const ROCKET: &str = "{apiVersion: space.example/v1, kind: Rocket, metadata: {name: a}, spec: \
                      {stages: 1}}";

/// An object of each kind, and one of a kind that came by a definition.
async fn every_kind(bed: &Bed) -> Vec<&'static str> {
    bed.apply(DEFINITION).await;
    bed.run("wait crd/rockets.space.example --for=condition=Established --timeout=30s").await;
    let mut all: Vec<&str> = ALL.iter().map(|(object, _)| *object).collect();
    for (_, manifest) in ALL {
        bed.apply(manifest).await;
    }
    bed.apply(EVENT).await;
    bed.apply(ROCKET).await;
    all.extend(["event/a", "rocket/a", "crd/rockets.space.example"]);
    all
}

/// A program that does to a file what `sed` is told.
fn editor(bed: &Bed, script: &str) -> PathBuf {
    let editor = bed.folder().join("editor");
    std::fs::write(&editor, format!("#!/bin/sh\nsed -i '{script}' \"$1\"\n")).unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    editor
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_each_kind_is_edited_and_waited_for() {
    with_each(|bed| async move {
        let editor = editor(&bed, "s/^  annotations:$/  annotations:\\n    edited: by-hand/");
        for object in every_kind(&bed).await {
            let edited = bed.command(&["edit", object]).env("EDITOR", &editor).output().await;
            let said = super::Said::of(&edited.unwrap());
            assert!(said.out.contains("edited"), "{object}: {said:?}");
            let note = "jsonpath={.metadata.annotations.edited}=by-hand";
            bed.run(&format!("wait {object} --for={note} --timeout=30s")).await;
        }
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_each_kind_prints_what_changes_and_what_goes() {
    with_each(|bed| async move {
        for object in every_kind(&bed).await {
            let (kind, name) = object.split_once('/').unwrap();
            let mut child = bed.command(&["get", kind, name, "-w", "-o=name"]).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut next = async || {
                let line = tokio::time::timeout(LIMIT, lines.next_line()).await;
                line.expect("a line in time").unwrap().unwrap()
            };
            let shown = next().await;
            assert!(shown.ends_with(&format!("/{name}")), "{shown}");
            bed.run(&format!("label {object} seen=yes")).await;
            assert_eq!(next().await, shown);
            child.kill().await.unwrap();
        }
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_each_kind_is_deleted_and_its_end_waited_for() {
    with_each(|bed| async move {
        for object in every_kind(&bed).await {
            bed.run(&format!("delete {object} --wait=false")).await;
            bed.run(&format!("wait {object} --for=delete --timeout=60s")).await;
            let said = bed.feed(&["get", object], "").await;
            let gone = ["(NotFound)", "doesn't have a resource type"];
            assert!(gone.iter().any(|text| said.err.contains(text)), "{object}: {said:?}");
        }
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_replicas_is_scaled() {
    with_each(|bed| async move {
        for object in ["deployment/web", "replicaset/a", "statefulset/a"] {
            bed.apply(manifest(object)).await;
            bed.run(&format!("scale {object} --replicas=3")).await;
            let ready = "jsonpath={.status.readyReplicas}=3";
            bed.run(&format!("wait {object} --for={ready} --timeout=30s")).await;
            let args = ["scale", object, "--current-replicas=9", "--replicas=1"];
            let said = bed.feed(&args, "").await;
            assert!(said.err.contains("Expected replicas to be 9, was 3"), "{said:?}");
            bed.run(&format!("scale {object} --current-replicas=3 --replicas=0")).await;
            assert_eq!(bed.field(object, ".spec.replicas").await, "0");
        }
        for object in ["daemonset/a", "configmap/a"] {
            bed.apply(manifest(object)).await;
            let said = bed.feed(&["scale", object, "--replicas=3"], "").await;
            assert!(said.err.contains("the server could not find the requested resource"));
        }
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_containers_gets_other_images_and_environments() {
    with_each(|bed| async move {
        for (object, container) in IMAGES {
            bed.apply(manifest(object)).await;
            bed.run(&format!("set image {object} {container}=web:2")).await;
            let yaml = bed.run(&format!("get {object} -o yaml")).await;
            assert!(yaml.contains("image: web:2"), "{yaml}");
            if !object.starts_with("pod") {
                bed.run(&format!("set env {object} NEW=1")).await;
                bed.run(&format!("set resources {object} --requests=cpu=1m")).await;
            }
        }
        bed.apply(manifest("job/a")).await;
        let said = bed.feed(&["set", "image", "job/a", "c=web:2"], "").await;
        assert!(said.err.contains("field is immutable"), "{said:?}");
        bed.apply(manifest("service/a")).await;
        bed.run("set selector service/a app=other").await;
        assert_eq!(bed.field("service/a", ".spec.selector.app").await, "other");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rolls_has_a_history_that_is_read_undone_and_restarted() {
    with_each(|bed| async move {
        for (object, container) in &IMAGES[..4] {
            bed.apply(manifest(object)).await;
            if object.starts_with("replicaset") {
                let said = bed.feed(&["rollout", "status", object], "").await;
                assert!(said.err.contains("no status viewer has been implemented"), "{said:?}");
                continue;
            }
            bed.run(&format!("rollout status {object} --timeout=30s")).await;
            bed.run(&format!("set image {object} {container}=web:2")).await;
            bed.run(&format!("annotate {object} kubernetes.io/change-cause=second")).await;
            bed.run(&format!("rollout status {object} --timeout=60s")).await;
            let second = bed.run(&format!("rollout history {object} --revision=2")).await;
            assert!(second.contains("web:2"), "{second}");
            let said = bed.feed(&["rollout", "history", object, "--revision=9"], "").await;
            assert_eq!(said.code, 1, "{said:?}");
            bed.run(&format!("rollout restart {object}")).await;
            bed.run(&format!("rollout status {object} --timeout=60s")).await;
            bed.run(&format!("rollout undo {object} --to-revision=1")).await;
            bed.run(&format!("rollout status {object} --timeout=60s")).await;
            let image = ".spec.template.spec.containers[0].image";
            assert_eq!(bed.field(object, image).await, "web:1", "{object}");
            if !object.starts_with("deployment") {
                let said = bed.feed(&["rollout", "pause", object], "").await;
                assert!(said.err.contains("pausing is not supported"), "{said:?}");
            }
        }
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_of_what_runs_containers_are_read_by_its_name() {
    with_each(|bed| async move {
        bed.apply(&WEB.replace("web:1", "talk:1")).await;
        bed.run("rollout status deploy/web --timeout=30s").await;
        for object in ["replicaset/a", "statefulset/a", "daemonset/a", "job/a", "pod/a"] {
            let image = if object == "job/a" { "work:1" } else { "talk:1" };
            bed.apply(&manifest(object).replace("web:1", image)).await;
        }
        bed.run("wait replicaset/a --for=jsonpath={.status.readyReplicas}=1 --timeout=30s").await;
        bed.run("rollout status statefulset/a --timeout=30s").await;
        bed.run("rollout status daemonset/a --timeout=30s").await;
        bed.run("wait pod/a --for=condition=Ready --timeout=30s").await;
        bed.run("wait job/a --for=condition=Complete --timeout=30s").await;
        for object in
            ["deployment/web", "replicaset/a", "statefulset/a", "daemonset/a", "job/a", "pod/a"]
        {
            let text = bed.run(&format!("logs {object}")).await;
            let wanted = if object == "job/a" { "working" } else { "one" };
            assert!(text.lines().any(|line| line == wanted), "{object}: {text}");
        }
        let all = bed.run("logs -l app=web --prefix").await;
        assert_eq!(all.lines().count(), 6, "{all}");
        bed
    })
    .await;
}
