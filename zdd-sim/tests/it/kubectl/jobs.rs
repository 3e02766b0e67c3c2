//! Jobs.

use super::with_each;

fn job(name: &str, image: &str, more: &str) -> String {
    format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}}}, spec: {{{more} template: \
         {{spec: {{restartPolicy: Never, containers: [{{name: app, image: {image}}}]}}}}}}}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_completes_when_enough_pods_have_succeeded() {
    with_each(|bed| async move {
        bed.apply(&job("work", "work:1", "completions: 3, parallelism: 2,")).await;
        bed.apply(&job("made-up", "nowhere:1", "")).await;
        bed.run("wait job/work job/made-up --for=condition=complete --timeout=60s").await;
        assert_eq!(bed.field("job/work", ".status.succeeded").await, "3");
        assert!(bed.run("get job work").await.contains("3/3"));
        assert_eq!(bed.run("logs job/work --tail=1").await, "working\n");
        let described = bed.run("describe job work").await;
        assert!(described.contains("Job completed"), "{described}");
        assert_eq!(
            bed.apply(&job("work", "work:1", "completions: 3, parallelism: 2,")).await.trim(),
            "job.batch/work unchanged"
        );
        bed.run("delete job work made-up --timeout=60s").await;
        bed.run("wait pod --all --for=delete --timeout=60s").await;
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_fails_at_its_limits() {
    with_each(|bed| async move {
        bed.apply(&job("fail", "fail:1", "backoffLimit: 0,")).await;
        bed.apply(&job("slow", "serve:1", "activeDeadlineSeconds: 1,")).await;
        bed.run("wait job/fail job/slow --for=condition=failed --timeout=60s").await;
        let reason = ".status.conditions[?(@.type==\"Failed\")].reason";
        assert_eq!(bed.field("job/fail", reason).await, "BackoffLimitExceeded");
        assert_eq!(bed.field("job/slow", reason).await, "DeadlineExceeded");
        assert_eq!(bed.field("job/fail", ".status.failed").await, "1");
        bed
    })
    .await;
}
