//! Applies the manifests that are to be there from the start.

use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, ResourceExt};

/// Applies each object of a file, in order.
pub(crate) async fn apply(client: Client, file: &Path) -> anyhow::Result<()> {
    let place = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("failed to read {place}"))?;
    let objects: Vec<Option<DynamicObject>> = serde_saphyr::from_multiple(&text)
        .map_err(|error| anyhow!("failed to read objects from {place}: {error}"))?;
    for object in objects.into_iter().flatten() {
        let name = object.name_any();
        one(&client, &object)
            .await
            .with_context(|| format!("failed to apply {name} of {place}"))?;
    }
    Ok(())
}

async fn one(client: &Client, object: &DynamicObject) -> anyhow::Result<()> {
    let types = object.types.as_ref().context("the object names no apiVersion and kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    let (resource, capabilities) = pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match (capabilities.scope, object.namespace()) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, Some(space)) => Api::namespaced_with(client.clone(), &space, &resource),
        (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
    };
    let params = PatchParams::apply("zdd-sim").force();
    api.patch(&object.name_any(), &params, &Patch::Apply(object)).await?;
    Ok(())
}
