//! Pods: their logs, events and init containers.

use tokio::io::{AsyncBufReadExt, BufReader};

use super::{stable, with_each};

fn pod(name: &str, image: &str, more: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{more} \
         terminationGracePeriodSeconds: 1, containers: [{{name: app, image: {image}}}]}}}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_read_whole_in_part_with_times_and_as_they_come() {
    with_each(|bed| async move {
        bed.apply(&pod("talk", "talk:1", "")).await;
        bed.run("wait pod/talk --for=condition=Ready --timeout=30s").await;
        let mut child = bed.command(&["logs", "-f", "talk"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut all = Vec::new();
        while all.len() < 3 {
            let line = tokio::time::timeout(super::LIMIT, lines.next_line()).await;
            all.push(line.expect("a line in time").unwrap().unwrap());
        }
        all.sort();
        assert_eq!(all, ["one", "three", "two"]);
        assert_eq!(bed.run("logs talk --tail=0").await, "");
        assert_eq!(bed.run("logs talk --tail=1").await.lines().count(), 1);
        assert_eq!(bed.run("logs talk --since=1h -c app").await.lines().count(), 3);
        assert_eq!(bed.run("logs talk --limit-bytes=2").await.len(), 2);
        let timed = bed.run("logs talk --timestamps").await;
        assert!(timed.lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{timed}");
        let said = bed.feed(&["logs", "talk", "--previous"], "").await;
        assert!(
            said.err.contains("previous terminated container \"app\" in pod \"talk\" not found")
        );
        let said = bed.feed(&["logs", "talk", "-c", "other"], "").await;
        assert!(said.err.contains("container other is not valid for pod talk"), "{said:?}");
        // The follower ends with the container.
        bed.run("delete pod talk --timeout=60s").await;
        let ended = tokio::time::timeout(super::LIMIT, child.wait()).await;
        assert!(ended.expect("it ends in time").unwrap().success());
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_the_run_before_is_kept() {
    with_each(|bed| async move {
        bed.apply(&pod("fail", "fail:1", "")).await;
        bed.run("wait pod/fail --for=jsonpath={.status.containerStatuses[0].restartCount}=1 --timeout=30s")
            .await;
        bed.run("wait pod/fail --for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff --timeout=30s").await;
        assert_eq!(bed.run("logs fail --previous").await, "failing\n");
        let table = stable(&bed.run("get pod fail").await);
        assert!(table.contains("fail 0/1 CrashLoopBackOff 1"), "{table}");
        let described = bed.run("describe pod fail").await;
        assert!(described.contains("Back-off") || described.contains("back-off"), "{described}");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_end_one_after_the_other_before_the_others_start() {
    with_each(|bed| async move {
        let init = "initContainers: [{name: one, image: work:1}, {name: two, image: made-up}, \
                    {name: side, image: serve:1, restartPolicy: Always}],";
        bed.apply(&pod("init", "serve:1", init)).await;
        bed.run("wait pod/init --for=condition=Ready --timeout=30s").await;
        let at = |path: &'static str| {
            let bed = &bed;
            async move { bed.field("pod/init", path).await }
        };
        let one = at(".status.initContainerStatuses[0].state.terminated.finishedAt").await;
        let two = at(".status.initContainerStatuses[1].state.terminated.startedAt").await;
        let app = at(".status.containerStatuses[0].state.running.startedAt").await;
        assert!(!one.is_empty() && one <= two && two <= app, "{one} {two} {app}");
        assert_eq!(bed.run("logs init -c one").await, "working\n");
        assert!(bed.run("get pod init").await.contains("2/2"));

        let broken = "restartPolicy: Never, initContainers: [{name: one, image: fail:1}],";
        bed.apply(&pod("broken", "serve:1", broken)).await;
        bed.run("wait pod/broken --for=jsonpath={.status.phase}=Failed --timeout=30s").await;
        assert!(bed.run("get pod broken").await.contains("Init:Error"));
        bed.run("delete pod --all --timeout=60s").await;
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_that_a_container_is_only_simulated() {
    with_each(|bed| async move {
        bed.apply(&pod("made-up", "nowhere:1", "")).await;
        bed.run("wait pod/made-up --for=condition=Ready --timeout=30s").await;
        let described = bed.run("describe pod made-up").await;
        assert!(described.contains("no program stands behind image \"nowhere:1\""), "{described}");
        let events = bed.run("get events --field-selector=involvedObject.name=made-up").await;
        assert!(events.contains("Simulated"), "{events}");
        let events = bed.run("events --for=pod/made-up").await;
        assert!(events.contains("Scheduled"), "{events}");
        bed
    })
    .await;
}
