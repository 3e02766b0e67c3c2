//! Deployments as people roll them.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::{WEB, stable, with_each};

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_rolled_paused_resumed_restarted_and_undone() {
    with_each(|bed| async move {
        assert_eq!(bed.apply(WEB).await.trim(), "deployment.apps/web created");
        let status = bed.run("rollout status deploy/web --timeout=30s").await;
        assert!(status.ends_with("deployment \"web\" successfully rolled out\n"), "{status}");
        bed.run("set image deploy/web app=web:2").await;
        bed.run("rollout status deploy/web --timeout=30s").await;
        let history = bed.run("rollout history deploy/web").await;
        assert_eq!(
            stable(&history),
            "deployment.apps/web\nREVISION CHANGE-CAUSE\n1 <none>\n2 <none>\n"
        );
        let second = bed.run("rollout history deploy/web --revision=2").await;
        assert!(second.contains("web:2"), "{second}");
        bed.run("rollout undo deploy/web").await;
        bed.run("rollout status deploy/web --timeout=30s").await;
        let image = ".spec.template.spec.containers[0].image";
        assert_eq!(bed.field("deploy/web", image).await, "web:1");
        bed.run("rollout pause deploy/web").await;
        assert_eq!(bed.field("deploy/web", ".spec.paused").await, "true");
        bed.run("rollout resume deploy/web").await;
        bed.run("rollout restart deploy/web").await;
        bed.run("rollout status deploy/web --timeout=30s").await;
        bed.run("scale deploy/web --replicas=4").await;
        bed.run("wait deploy/web --for=jsonpath={.status.readyReplicas}=4 --timeout=30s").await;
        bed.run("wait deploy/web --for=condition=Available --timeout=30s").await;
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stateful_sets_and_daemon_sets_are_rolled_too() {
    with_each(|bed| async move {
        let set =
            WEB.replace("Deployment", "StatefulSet").replace("replicas: 2", "serviceName: web");
        let daemon = WEB.replace("Deployment", "DaemonSet").replace("  replicas: 2\n", "");
        let daemon = daemon.replace("name: web,", "name: each,").replace("app: web", "app: each");
        bed.apply(&format!("{set}---{daemon}")).await;
        for object in ["sts/web", "ds/each"] {
            bed.run(&format!("rollout status {object} --timeout=30s")).await;
            bed.run(&format!("set image {object} app=web:2")).await;
            bed.run(&format!("rollout status {object} --timeout=60s")).await;
            bed.run(&format!("rollout history {object}")).await;
            bed.run(&format!("rollout undo {object}")).await;
            bed.run(&format!("rollout status {object} --timeout=60s")).await;
            let image = ".spec.template.spec.containers[0].image";
            assert_eq!(bed.field(object, image).await, "web:1", "{object}");
        }
        bed.run("scale sts/web --replicas=2").await;
        bed.run("rollout status sts/web --timeout=30s").await;
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_ends_a_rollout_at_its_deadline() {
    with_each(|bed| async move {
        bed.cluster.push_image("web:1", zdd_sim::Behaviour::never_ready());
        let manifest = WEB.replace("  replicas: 2", "  replicas: 1\n  progressDeadlineSeconds: 1");
        bed.apply(&manifest).await;
        let args = ["rollout", "status", "deploy/web", "--timeout=30s"];
        let said = bed.feed(&args, "").await;
        assert_eq!(said.code, 1);
        assert_eq!(said.err.trim(), "error: deployment \"web\" exceeded its progress deadline");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_of_all_types_and_an_editor_change_an_object() {
    with_each(|bed| async move {
        bed.apply(WEB).await;
        let patch = |kind: &'static str, patch: &'static str| {
            let bed = &bed;
            async move {
                let args = ["patch", "deploy", "web", kind, "-p", patch];
                let said = bed.feed(&args, "").await;
                assert_eq!(said.code, 0, "{said:?}");
            }
        };
        let env = ".spec.template.spec.containers[0].env[*].name";
        let strategic = r#"{"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"C","value":"3"}]}]}}}}"#;
        patch("--type=strategic", strategic).await;
        assert_eq!(bed.field("deploy/web", env).await, "C A B");
        patch("--type=merge", r#"{"spec":{"replicas":3}}"#).await;
        patch("--type=json", r#"[{"op":"remove","path":"/spec/template/spec/containers/0/env"}]"#)
            .await;
        assert_eq!(bed.field("deploy/web", env).await, "");
        assert_eq!(bed.field("deploy/web", ".spec.replicas").await, "3");

        let editor = bed.folder().join("editor");
        std::fs::write(&editor, "#!/bin/sh\nsed -i 's/replicas: 3/replicas: 1/' \"$1\"\n").unwrap();
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
        let edited = bed.command(&["edit", "deploy", "web"]).env("EDITOR", &editor).output().await;
        assert!(edited.unwrap().status.success());
        assert_eq!(bed.field("deploy/web", ".spec.replicas").await, "1");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_prints_what_changes() {
    with_each(|bed| async move {
        let mut child = bed.command(&["get", "cm", "-w"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = async || {
            let line = tokio::time::timeout(super::LIMIT, lines.next_line()).await;
            stable(&line.expect("a line in time").unwrap().unwrap())
        };
        assert_eq!(next().await, "NAME DATA AGE");
        assert_eq!(next().await, "kube-root-ca.crt 1 AGE");
        bed.run("create configmap a --from-literal=x=1").await;
        assert_eq!(next().await, "a 1 AGE");
        bed.run("patch configmap a -p {\"data\":{\"y\":\"2\"}}").await;
        assert_eq!(next().await, "a 2 AGE");
        child.kill().await.unwrap();
        bed
    })
    .await;
}
