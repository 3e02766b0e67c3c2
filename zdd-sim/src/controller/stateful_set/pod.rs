//! The pods of a StatefulSet: name, labels, storage.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{REVISION_LABEL, Work};
use crate::collection::Collection;
use crate::controller::context::{Context, Note};
use crate::controller::history::template;
use crate::controller::pods::from_template;
use crate::object::Object;

impl Work<'_> {
    pub(super) fn create(&self, ctx: &mut Context<'_>, ordinal: i64) -> Result<Arc<Value>, String> {
        let set = self.set;
        let name = format!("{}-{ordinal}", set.name());
        let revision = if self.is_old(ordinal) { self.current } else { self.update };
        let mut pod = from_template(set, &template(revision), &name, &self.owner);
        let labels = &mut pod["metadata"]["labels"];
        labels[REVISION_LABEL] = revision.name().into();
        labels["statefulset.kubernetes.io/pod-name"] = name.clone().into();
        labels["apps.kubernetes.io/pod-index"] = ordinal.to_string().into();
        pod["spec"]["hostname"] = name.clone().into();
        pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
        self.create_claims(ctx, &mut pod, ordinal);
        match ctx.create(&Collection::PODS, pod) {
            Ok(pod) => {
                let message = format!("create Pod {name} in StatefulSet {} successful", set.name());
                ctx.event(set, Note::Normal("SuccessfulCreate"), &message);
                Ok(pod)
            }
            Err(error) => {
                let message = format!(
                    "create Pod {name} in StatefulSet {} failed error: {error}",
                    set.name()
                );
                ctx.event(set, Note::Warning("FailedCreate"), &message);
                Err(error.to_string())
            }
        }
    }

    /// A pod that is made anew below the partition, or before its turn, has the old template.
    fn is_old(&self, ordinal: i64) -> bool {
        if !self.spec.rolls {
            return false;
        }
        let index = ordinal - self.spec.start;
        if self.spec.partition > 0 {
            return index < self.spec.partition;
        }
        index < self.set.int("/status/currentReplicas").unwrap_or_default()
    }

    fn create_claims(&self, ctx: &mut Context<'_>, pod: &mut Value, ordinal: i64) {
        let claims = Collection::new("persistentvolumeclaims");
        let templates = self.set["spec"]["volumeClaimTemplates"].as_array();
        for template in templates.into_iter().flatten() {
            let volume = template.name();
            let name = format!("{volume}-{}-{ordinal}", self.set.name());
            let mut labels = template["metadata"]["labels"].clone();
            let selector = &self.set["spec"]["selector"]["matchLabels"];
            for (key, value) in selector.as_object().into_iter().flatten() {
                labels[key] = value.clone();
            }
            let claim = json!({
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": name,
                    "namespace": self.set.namespace(),
                    "labels": labels,
                },
                "spec": template["spec"],
                "status": {"phase": "Bound"},
            });
            // The claim of an earlier pod with this ordinal is used again.
            let _exists = ctx.create(&claims, claim);
            let source = json!({"name": volume, "persistentVolumeClaim": {"claimName": name}});
            match pod["spec"]["volumes"].as_array_mut() {
                Some(volumes) => volumes.push(source),
                None => pod["spec"]["volumes"] = json!([source]),
            }
        }
    }
}
