//! `kubectl apply`, on the client's side and on the server's.

use super::{WEB, with_each};

#[tokio::test(flavor = "multi_thread")]
async fn apply_on_the_clients_side_removes_what_left_the_manifest_and_nothing_else() {
    with_each(|bed| async move {
        bed.apply(WEB).await;
        assert_eq!(bed.apply(WEB).await.trim(), "deployment.apps/web unchanged");
        bed.run("set env deploy/web OTHER=x").await;
        let next = WEB.replace("{name: A, value: '1'}, ", "").replace("web:1", "web:2");
        assert_eq!(bed.apply(&next).await.trim(), "deployment.apps/web configured");
        let env = ".spec.template.spec.containers[0].env[*].name";
        let names = bed.field("deploy/web", env).await;
        let mut names: Vec<&str> = names.split(' ').collect();
        names.sort_unstable();
        assert_eq!(names, ["B", "OTHER"]);
        let said = bed.feed(&["diff", "-f", "-"], &next).await;
        assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_strategy_drops_the_settings_of_the_other_one() {
    with_each(|bed| async move {
        let rolling =
            "  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}\n  replicas: 2";
        bed.apply(&WEB.replace("  replicas: 2", rolling)).await;
        let recreate = "  strategy: {type: Recreate}\n  replicas: 2";
        bed.apply(&WEB.replace("  replicas: 2", recreate)).await;
        assert_eq!(bed.field("deploy/web", ".spec.strategy").await, "{\"type\":\"Recreate\"}");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_on_the_servers_side_tells_conflicts_and_can_be_forced() {
    with_each(|bed| async move {
        let args = ["apply", "--server-side", "-f", "-"];
        let said = bed.feed(&args, WEB).await;
        assert_eq!(said.out.trim(), "deployment.apps/web serverside-applied", "{said:?}");
        bed.run("set image deploy/web app=web:9").await;
        let said = bed.feed(&args, WEB).await;
        assert_eq!(said.code, 1);
        let conflict = "conflict with \"kubectl-set\" using apps/v1";
        assert!(said.err.contains(conflict), "{said:?}");
        assert!(
            said.err.contains(".spec.template.spec.containers[name=\"app\"].image"),
            "{said:?}"
        );
        let said = bed.feed(&["apply", "--server-side", "--force-conflicts", "-f", "-"], WEB).await;
        assert_eq!(said.code, 0, "{said:?}");
        let image = ".spec.template.spec.containers[0].image";
        assert_eq!(bed.field("deploy/web", image).await, "web:1");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_applied_can_be_applied_by_the_server_from_then_on() {
    with_each(|bed| async move {
        bed.apply(WEB).await;
        let next = WEB.replace("web:1", "web:2");
        let said = bed.feed(&["apply", "--server-side", "-f", "-"], &next).await;
        assert_eq!(said.code, 0, "{said:?}");
        let image = ".spec.template.spec.containers[0].image";
        assert_eq!(bed.field("deploy/web", image).await, "web:2");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_refused_or_warned_about_as_the_client_asks() {
    with_each(|bed| async move {
        let bad = "{apiVersion: v1, kind: ConfigMap, metadata: {name: bad}, datta: {a: b}}";
        let said = bed.feed(&["apply", "-f", "-"], bad).await;
        assert_eq!(said.code, 1);
        assert!(said.err.contains("strict decoding error: unknown field \"datta\""), "{said:?}");
        let said = bed.feed(&["apply", "--validate=warn", "-f", "-"], bad).await;
        assert_eq!(said.code, 0);
        assert_eq!(said.err.trim(), "Warning: unknown field \"datta\"");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_on_the_server_changes_nothing() {
    with_each(|bed| async move {
        let said = bed.feed(&["apply", "--dry-run=server", "-f", "-"], WEB).await;
        assert_eq!(said.out.trim(), "deployment.apps/web created (server dry run)", "{said:?}");
        assert_eq!(bed.run("get deploy -o name").await, "");
        bed
    })
    .await;
}
