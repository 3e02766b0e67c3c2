//! The verbs that all kinds share, and the columns of each kind.

use super::{WEB, stable, with_each};

/// One object of each kind, by the names that kubectl takes.
pub(crate) const ALL: [(&str, &str); 12] = [
    ("deployment/web", WEB),
    ("configmap/a", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}"),
    ("secret/a", "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {k: v}}"),
    (
        "service/a",
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort, selector: \
         {app: web}, ports: [{port: 80, nodePort: 30080}]}}",
    ),
    (
        "pod/a",
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: \
         web:1}]}}",
    ),
    (
        "replicaset/a",
        "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: a}, spec: {replicas: 1, \
         selector: {matchLabels: {x: rs}}, template: {metadata: {labels: {x: rs}}, spec: \
         {containers: [{name: c, image: web:1}]}}}}",
    ),
    (
        "statefulset/a",
        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {replicas: 1, \
         serviceName: a, selector: {matchLabels: {x: sts}}, template: {metadata: {labels: {x: \
         sts}}, spec: {containers: [{name: c, image: web:1}]}}}}",
    ),
    (
        "daemonset/a",
        "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {selector: \
         {matchLabels: {x: ds}}, template: {metadata: {labels: {x: ds}}, spec: {containers: \
         [{name: c, image: web:1}]}}}}",
    ),
    (
        "job/a",
        "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: \
         {restartPolicy: Never, containers: [{name: c, image: web:1}]}}}}",
    ),
    (
        "lease/a",
        "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: a}, spec: \
         {holderIdentity: me}}",
    ),
    (
        "endpointslice/a",
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: \
         IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 80}]}",
    ),
    ("namespace/a", "{apiVersion: v1, kind: Namespace, metadata: {name: a}}"),
];

pub(crate) const EVENT: &str = "{apiVersion: v1, kind: Event, metadata: {name: a}, involvedObject: {apiVersion: v1, kind: \
     Pod, namespace: default, name: p}, reason: Pulled, message: It is there., type: Normal, \
     count: 1, source: {component: test}}";

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_applied_read_described_labelled_patched_and_deleted() {
    with_each(|bed| async move {
        for (object, manifest) in ALL.into_iter().chain([("event/a", EVENT)]) {
            bed.apply(manifest).await;
            bed.run(&format!("get {object}")).await;
            bed.run(&format!("get {object} -o wide")).await;
            let yaml = bed.run(&format!("get {object} -o yaml")).await;
            assert!(yaml.contains("resourceVersion"), "{yaml}");
            let described = bed.run(&format!("describe {object}")).await;
            assert!(described.contains("Name:"), "{described}");
            bed.run(&format!("label {object} team=a")).await;
            bed.run(&format!("annotate {object} note=a")).await;
            for kind in ["strategic", "merge"] {
                let patch = format!("{{\"metadata\":{{\"labels\":{{\"{kind}\":\"yes\"}}}}}}");
                bed.run(&format!("patch {object} --type={kind} -p {patch}")).await;
            }
            let remove = "[{\"op\":\"remove\",\"path\":\"/metadata/labels/merge\"}]";
            bed.run(&format!("patch {object} --type=json -p {remove}")).await;
            let labels = bed.field(object, ".metadata.labels").await;
            assert!(labels.contains("strategic") && !labels.contains("merge"), "{labels}");
            // Lists that are one whole, with defaults in them, belong to who applied first.
            let args = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
            let said = bed.feed(&args, manifest).await;
            assert_eq!(said.code, 0, "{said:?}");
            bed.run(&format!("delete {object} --timeout=60s")).await;
            let said = bed.feed(&["get", object], "").await;
            assert!(said.err.starts_with("Error from server (NotFound)"), "{said:?}");
        }
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_has_the_columns_of_the_real_server() {
    with_each(|bed| async move {
        for (_, manifest) in ALL {
            bed.apply(manifest).await;
        }
        bed.run("rollout status deploy/web --timeout=30s").await;
        bed.run("rollout status ds/a --timeout=30s").await;
        bed.run("rollout status sts/a --timeout=30s").await;
        bed.run("wait job/a --for=condition=Complete --timeout=30s").await;
        bed.run("wait pod/a rs/a --for=jsonpath={.metadata.name}=a --timeout=30s").await;
        bed.run("wait pod --all --for=jsonpath={.status.phase} --timeout=30s").await;
        bed.run("wait rs/a --for=jsonpath={.status.readyReplicas}=1 --timeout=30s").await;
        let mut text = String::new();
        for kind in ["deploy", "rs", "sts", "ds", "job", "svc", "cm", "secret", "lease", "ns", "no"]
        {
            let table = stable(&bed.run(&format!("get {kind} -o wide")).await);
            text += &format!("{}\n", table.lines().take(2).collect::<Vec<_>>().join("\n"));
        }
        // Named: all kubectls see the same.
        insta::assert_snapshot!("columns", text);
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_made_by_the_commands_that_make_them() {
    with_each(|bed| async move {
        for line in [
            "create configmap c --from-literal=a=1",
            "create secret generic s --from-literal=a=1",
            "create namespace n",
            "create deployment d --image=web:1 --replicas=1 --port=80",
            "create service clusterip s --tcp=80:8080",
            "create job j --image=web:1",
            "create serviceaccount sa",
            "create role r --verb=get --resource=pods",
            "create rolebinding r --role=r --serviceaccount=default:sa",
            "create quota q --hard=pods=100",
            "create poddisruptionbudget p --selector=app=d --min-available=1",
            "expose deployment d --port=80",
            "run p --image=web:1",
        ] {
            bed.run(line).await;
        }
        assert_eq!(bed.field("secret/s", ".data.a").await, "MQ==");
        bed.run("rollout status deploy/d --timeout=30s").await;
        assert_eq!(bed.field("service/d", ".spec.selector.app").await, "d");
        bed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_about_itself() {
    with_each(|bed| async move {
        assert_eq!(bed.run("get --raw /readyz").await, "ok");
        assert!(bed.run("version").await.contains("Server Version: v1.37"));
        assert_eq!(bed.run("auth can-i create deployments.apps").await, "yes\n");
        let explained = bed.run("explain deploy.spec.strategy.rollingUpdate.maxSurge").await;
        assert!(explained.contains("maximum number of pods"), "{explained}");
        let kinds = bed.run("api-resources --no-headers").await;
        assert!(kinds.lines().any(|line| line.starts_with("deployments ")), "{kinds}");
        assert!(bed.run("api-versions").await.contains("apps/v1"));
        let said = bed.feed(&["create", "ingress", "x", "--rule=a/b=c:80"], "").await;
        assert!(said.err.contains("could not find the requested resource"), "{said:?}");
        let bare = bed.url.trim_end_matches("/secret").to_owned();
        let said = bed.feed(&["--server", &bare, "get", "pods"], "").await;
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("logged in to the server"), "{said:?}");
        bed
    })
    .await;
}
