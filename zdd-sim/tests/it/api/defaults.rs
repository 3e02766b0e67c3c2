use insta::{assert_json_snapshot, assert_snapshot};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams, PostParams, ValidationDirective};
use serde_json::{Value, json};

use super::{Bed, read, told};

async fn created(bed: &Bed, path: &str, object: &Value) -> Value {
    let request = http::Request::post(path).body(serde_json::to_vec(object).unwrap()).unwrap();
    bed.client.request(request).await.unwrap()
}

fn sparse() -> Value {
    json!({
        "metadata": { "name": "web", "creationTimestamp": null },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{
                    "name": "web", "image": "web",
                    "readinessProbe": { "httpGet": { "port": 80 } },
                }] },
            },
        },
    })
}

#[tokio::test(start_paused = true)]
async fn deployments_are_completed() {
    let bed = Bed::new();
    let object = sparse();
    let made = created(&bed, "/apis/apps/v1/namespaces/default/deployments", &object).await;
    assert_json_snapshot!(made["spec"], @r#"
    {
      "progressDeadlineSeconds": 600,
      "replicas": 1,
      "revisionHistoryLimit": 10,
      "selector": {
        "matchLabels": {
          "app": "web"
        }
      },
      "strategy": {
        "rollingUpdate": {
          "maxSurge": "25%",
          "maxUnavailable": "25%"
        },
        "type": "RollingUpdate"
      },
      "template": {
        "metadata": {
          "labels": {
            "app": "web"
          }
        },
        "spec": {
          "containers": [
            {
              "image": "web",
              "imagePullPolicy": "Always",
              "name": "web",
              "readinessProbe": {
                "failureThreshold": 3,
                "httpGet": {
                  "path": "/",
                  "port": 80,
                  "scheme": "HTTP"
                },
                "periodSeconds": 10,
                "successThreshold": 1,
                "timeoutSeconds": 1
              },
              "resources": {},
              "terminationMessagePath": "/dev/termination-log",
              "terminationMessagePolicy": "File"
            }
          ],
          "dnsPolicy": "ClusterFirst",
          "restartPolicy": "Always",
          "schedulerName": "default-scheduler",
          "securityContext": {},
          "terminationGracePeriodSeconds": 30
        }
      }
    }
    "#);
    assert_eq!(made["status"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn services_get_addresses_and_keep_them() {
    let bed = Bed::new();
    let services: Api<Service> = Api::default_namespaced(bed.client.clone());
    let service = |name: &str, kind: &str| -> Service {
        read(json!({
            "metadata": { "name": name },
            "spec": { "type": kind, "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
        }))
    };
    let params = PostParams::default();
    let one = services.create(&params, &service("a", "")).await.unwrap().spec.unwrap();
    let two = services.create(&params, &service("b", "NodePort")).await.unwrap().spec.unwrap();
    assert_ne!(one.cluster_ip, two.cluster_ip);
    assert_eq!(one.type_.as_deref(), Some("ClusterIP"));
    assert_eq!(one.internal_traffic_policy.as_deref(), Some("Cluster"));
    let port = &two.ports.as_ref().unwrap()[0];
    assert_eq!((port.protocol.as_deref(), port.node_port), (Some("TCP"), Some(30000)));
    let again = services.replace("b", &params, &service("b", "NodePort")).await.unwrap();
    assert_eq!(again.spec.unwrap(), two);
}

#[tokio::test(start_paused = true)]
async fn a_pod_begins_pending_with_its_quality_of_service() {
    let bed = Bed::new();
    let made = bed.add_pod("p").await;
    let status = made.status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(made.spec.unwrap().termination_grace_period_seconds, Some(30));
}

#[tokio::test(start_paused = true)]
async fn a_value_of_another_type_is_a_bad_request() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let patch = Patch::Merge(json!({ "spec": { "replicas": "many" } }));
    assert_snapshot!(told(bed.deployments().patch("web", &PatchParams::default(), &patch).await),
        @r#"400 BadRequest: Deployment in version "v1" cannot be handled as a Deployment: invalid type: string "many", expected i32"#);
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_are_dropped_or_refused_when_strict() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let patch = Patch::Merge(json!({ "spec": { "replica": 7 } }));
    let strict = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    assert_snapshot!(told(bed.deployments().patch("web", &strict, &patch).await),
        @r#"400 BadRequest: Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replica""#);
    let before = bed.deployments().get("web").await.unwrap();
    let after = bed.deployments().patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(before, after);
}
