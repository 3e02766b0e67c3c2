//! Resource quotas. Use is counted from the objects that are there, not from a status that lags.

use serde_json::Value;

use super::quantity::Quantity;
use crate::api::status::ApiStatus;
use crate::collection::Collection;
use crate::object::Object;
use crate::store::Store;

/// # Errors
/// 403 when a quota of the namespace does not leave room for the object.
pub(super) fn check(
    store: &Store,
    collection: &Collection,
    object: &Value,
) -> Result<(), ApiStatus> {
    let namespace = object.namespace();
    if namespace.is_empty() {
        return Ok(());
    }
    for quota in store.list(&Collection::RESOURCE_QUOTAS, Some(namespace)) {
        if let Some(why) = refusal(store, quota, collection, object) {
            return Err(ApiStatus::forbidden(collection, object.name(), why));
        }
    }
    Ok(())
}

fn refusal(
    store: &Store,
    quota: &Value,
    collection: &Collection,
    object: &Value,
) -> Option<String> {
    let hard = quota["spec"]["hard"].as_object()?;
    let mut missing: Vec<String> = Vec::new();
    let mut exceeded: Vec<[String; 3]> = Vec::new();
    for (resource, limit) in hard {
        let Some(asked) = charge(resource, collection, object) else { continue };
        missing.extend(unspecified(resource, collection, object));
        let used = sum(store, object.namespace(), resource, collection);
        let limit = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
        let Some(most) = Quantity::parse(&limit) else { continue };
        if asked > Quantity::default() && used + asked > most {
            exceeded.push([asked, used, most].map(|amount| format!("{resource}={amount}")));
        }
    }
    let name = quota.name();
    if !missing.is_empty() {
        return Some(format!("failed quota: {name}: must specify {}", missing.join("; ")));
    }
    let column =
        |at: usize| exceeded.iter().map(|row| row[at].as_str()).collect::<Vec<_>>().join(",");
    (!exceeded.is_empty()).then(|| {
        format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            column(0),
            column(1),
            column(2)
        )
    })
}

/// Returns what the objects of a quota's namespace use of it.
pub(crate) fn used(store: &Store, quota: &Value) -> Value {
    let hard = quota["spec"]["hard"].as_object().into_iter().flatten();
    let used = hard.map(|(resource, _)| {
        let collection = match resource.strip_prefix("count/") {
            Some(counted) => Collection::new(counted.to_owned()),
            None if compute(resource).is_some() => Collection::PODS,
            None => Collection::new(resource.clone()),
        };
        let amount = sum(store, quota.namespace(), resource, &collection);
        (resource.clone(), amount.to_string().into())
    });
    Value::Object(used.collect())
}

fn sum(store: &Store, namespace: &str, resource: &str, collection: &Collection) -> Quantity {
    let all = store.list(collection, Some(namespace)).filter(|other| counts(collection, other));
    all.filter_map(|other| charge(resource, collection, other))
        .fold(Quantity::default(), |sum, part| sum + part)
}

/// A pod that has ended frees its share.
fn counts(collection: &Collection, object: &Value) -> bool {
    collection != &Collection::PODS
        || !matches!(object.text("/status/phase"), Some("Failed" | "Succeeded"))
}

/// How much of a quota's resource an object takes; `None` when it takes part in none of it.
fn charge(resource: &str, collection: &Collection, object: &Value) -> Option<Quantity> {
    let named = resource.strip_prefix("count/").unwrap_or_default() == collection.as_str();
    if named || (resource == collection.as_str() && collection.group().is_empty()) {
        return Some(Quantity::whole(1));
    }
    let (side, unit) = compute(resource)?;
    if collection != &Collection::PODS {
        return None;
    }
    let containers = object["spec"]["containers"].as_array().into_iter().flatten();
    let amounts = containers.filter_map(|it| amount(it, side, unit));
    Some(amounts.fold(Quantity::default(), |sum, part| sum + part))
}

/// A quota on compute wants every container to say what it takes.
fn unspecified(resource: &str, collection: &Collection, object: &Value) -> Option<String> {
    let (side, unit) = compute(resource).filter(|_| collection == &Collection::PODS)?;
    let containers = object["spec"]["containers"].as_array().into_iter().flatten();
    let silent: Vec<&str> = containers
        .filter(|it| amount(it, side, unit).is_none())
        .filter_map(|it| it["name"].as_str())
        .collect();
    (!silent.is_empty()).then(|| format!("{resource} for: {}", silent.join(",")))
}

fn compute(resource: &str) -> Option<(&'static str, &str)> {
    match resource {
        "cpu" | "memory" => Some(("requests", resource)),
        _ => resource
            .strip_prefix("requests.")
            .map(|unit| ("requests", unit))
            .or_else(|| resource.strip_prefix("limits.").map(|unit| ("limits", unit))),
    }
}

fn amount(container: &Value, side: &str, unit: &str) -> Option<Quantity> {
    let amount = container["resources"][side].get(unit)?;
    amount.as_str().map_or_else(|| Quantity::parse(&amount.to_string()), Quantity::parse)
}
