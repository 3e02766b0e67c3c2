//! Kinds that come by CustomResourceDefinition.

use super::{stable, with_each};

pub(crate) const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rockets.space.example}
spec:
  group: space.example
  scope: Namespaced
  names: {kind: Rocket, plural: rockets, singular: rocket, shortNames: [rk], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Stages, type: integer, jsonPath: .spec.stages}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [stages]
            properties:
              stages: {type: integer, minimum: 1, description: How many there are.}
              fuel: {type: string, default: hydrogen}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_brings_a_kind_and_takes_it_away() {
    with_each(|bed| async move {
        bed.apply(DEFINITION).await;
        bed.run("wait crd/rockets.space.example --for=condition=Established --timeout=30s").await;
        let rocket = "{apiVersion: space.example/v1, kind: Rocket, metadata: {name: v2}, spec: \
                      {stages: 1}}";
        bed.apply(rocket).await;
        bed.apply(&rocket.replace("stages: 1", "stages: 3")).await;
        let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
        let patch = ["patch", "rk", "v2", "--type=merge", "--subresource=status", "-p", status];
        assert_eq!(bed.feed(&patch, "").await.code, 0);
        assert_eq!(stable(&bed.run("get rk").await), "NAME STAGES READY AGE\nv2 3 True AGE");
        assert!(bed.run("get all").await.contains("rocket.space.example/v2"));
        assert_eq!(bed.field("rocket/v2", ".spec.fuel").await, "hydrogen");
        assert!(bed.run("explain rocket.spec.stages").await.contains("How many there are."));
        assert!(bed.run("describe rocket v2").await.contains("Stages:"));
        let bad = bed.feed(&["apply", "-f", "-"], &rocket.replace("stages: 1", "stages: 0")).await;
        assert!(bad.err.contains("should be greater than or equal to 1"), "{bad:?}");
        let bad =
            bed.feed(&["apply", "-f", "-"], &rocket.replace("stages: 1", "stages: 1, x: 1")).await;
        assert!(bad.err.contains("unknown field \"spec.x\""), "{bad:?}");
        bed.run("delete crd rockets.space.example --timeout=30s").await;
        let said = bed.feed(&["get", "--raw", "/apis/space.example/v1/rockets"], "").await;
        assert_eq!(said.code, 1, "{said:?}");
        bed
    })
    .await;
}
