//! Strategic merge patch: lists of named things merge by their key.
//!
//! Directives are `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/field` and
//! `$setElementOrder/field`, as `kubectl apply` and `kubectl edit` write them.

use serde_json::{Map, Value};

use super::schema::{ListKind, list_kind};
use super::status::ApiStatus;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Merges a patch into an object.
///
/// # Errors
/// 400 when the patch is malformed.
pub(crate) fn merge(object: &mut Value, patch: &Value) -> Result<(), ApiStatus> {
    merge_value(object, patch, "")
}

fn merge_value(target: &mut Value, patch: &Value, field: &str) -> Result<(), ApiStatus> {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return Ok(()) };
    merge_map(map, patch, field)
}

fn merge_map(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    around: &str,
) -> Result<(), ApiStatus> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *target = patch.clone();
            target.remove(DIRECTIVE);
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => {
            let why = format!("unknown patch directive: {other}");
            return Err(ApiStatus::bad_request(why));
        }
    }
    if let Some(retained) = patch.get(RETAIN).and_then(Value::as_array) {
        target.retain(|key, _| retained.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        if key == DIRECTIVE || key == RETAIN || key.starts_with(ORDER) {
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE) {
            remove_items(target.get_mut(field), value);
            continue;
        }
        if value.is_null() {
            target.remove(key);
            continue;
        }
        merge_field(target, key, value, around)?;
    }
    for (key, order) in patch {
        if let (Some(field), Some(order)) = (key.strip_prefix(ORDER), order.as_array())
            && let Some(Value::Array(items)) = target.get_mut(field)
        {
            let kind = list_kind(around, field);
            reorder(items, |item| {
                order.iter().position(|wanted| match kind {
                    ListKind::Map(keys) => {
                        let own = item.get(keys.patch);
                        own.is_some() && own == wanted.get(keys.patch)
                    }
                    ListKind::Atomic | ListKind::Named(_) | ListKind::Set => item == wanted,
                })
            });
        }
    }
    Ok(())
}

fn merge_field(
    target: &mut Map<String, Value>,
    key: &str,
    value: &Value,
    around: &str,
) -> Result<(), ApiStatus> {
    match (value, list_kind(around, key)) {
        (Value::Object(_), _) => merge_value(target.entry(key).or_insert(Value::Null), value, key),
        (Value::Array(patch), ListKind::Map(keys)) => {
            let slot = target.entry(key).or_insert(Value::Null);
            let mut items = slot.as_array_mut().map(std::mem::take).unwrap_or_default();
            merge_items(&mut items, patch, keys.patch, key)?;
            *slot = Value::Array(items);
            Ok(())
        }
        (Value::Array(patch), ListKind::Set) => {
            let slot = target.entry(key).or_insert(Value::Null);
            let mut items = slot.as_array_mut().map(std::mem::take).unwrap_or_default();
            for item in patch {
                if !items.contains(item) {
                    items.push(item.clone());
                }
            }
            *slot = Value::Array(items);
            Ok(())
        }
        _ => {
            target.insert(key.to_owned(), value.clone());
            Ok(())
        }
    }
}

fn merge_items(
    items: &mut Vec<Value>,
    patch: &[Value],
    key: &str,
    field: &str,
) -> Result<(), ApiStatus> {
    if patch.iter().any(|item| item[DIRECTIVE] == "replace") {
        let kept =
            patch.iter().filter(|item| item[DIRECTIVE] != "replace" || item.get(key).is_some());
        *items = kept.cloned().map(without_directive).collect();
        return Ok(());
    }
    let before: Vec<Value> = items.iter().filter_map(|item| item.get(key)).cloned().collect();
    for change in patch {
        let Some(id) = change.get(key) else {
            let why = format!("map: {change} does not contain declared merge key: {key}");
            return Err(ApiStatus::bad_request(why));
        };
        if change[DIRECTIVE] == "delete" {
            items.retain(|item| item.get(key) != Some(id));
            continue;
        }
        match items.iter_mut().find(|item| item.get(key) == Some(id)) {
            Some(item) => merge_value(item, change, field)?,
            None => {
                let mut item = Value::Null;
                merge_value(&mut item, change, field)?;
                items.push(item);
            }
        }
    }
    interleave(items, patch, &before, key);
    Ok(())
}

/// Brings the items into the server's order: those of the patch in the patch's order, and each
/// other one before the first of these that was behind it. So what a patch adds comes first.
fn interleave(items: &mut Vec<Value>, patch: &[Value], before: &[Value], key: &str) {
    let place = |list: &[Value], item: &Value| {
        let id = item.get(key);
        list.iter().position(|other| Some(other) == id)
    };
    let wanted: Vec<Value> = patch.iter().filter_map(|item| item.get(key)).cloned().collect();
    let (mut patched, others): (Vec<Value>, Vec<Value>) =
        items.drain(..).partition(|item| place(&wanted, item).is_some());
    patched.sort_by_key(|item| place(&wanted, item));
    let mut others = others.into_iter().peekable();
    for item in patched {
        let behind = place(before, &item);
        let is_before = |other: &Value| behind.is_some_and(|at| place(before, other) < Some(at));
        while let Some(other) = others.next_if(is_before) {
            items.push(other);
        }
        items.push(item);
    }
    items.extend(others);
}

fn without_directive(mut item: Value) -> Value {
    if let Some(map) = item.as_object_mut() {
        map.remove(DIRECTIVE);
    }
    item
}

fn remove_items(target: Option<&mut Value>, unwanted: &Value) {
    if let (Some(Value::Array(items)), Some(unwanted)) = (target, unwanted.as_array()) {
        items.retain(|item| !unwanted.contains(item));
    }
}

/// Brings the ranked items into the order of their ranks; the others keep their place after the
/// item before them.
pub(crate) fn reorder(items: &mut Vec<Value>, rank: impl Fn(&Value) -> Option<usize>) {
    let mut listed: Vec<(usize, Value)> = Vec::new();
    let mut others: Vec<(Option<usize>, Value)> = Vec::new();
    let mut last = None;
    for item in items.drain(..) {
        match rank(&item) {
            Some(at) => {
                last = Some(at);
                listed.push((at, item));
            }
            None => others.push((last, item)),
        }
    }
    listed.sort_by_key(|(at, _)| *at);
    let mut place = |items: &mut Vec<Value>, after: Option<usize>| {
        let mine = others.extract_if(.., |(before, _)| *before == after);
        items.extend(mine.map(|(_, item)| item));
    };
    place(items, None);
    for (at, item) in listed {
        items.push(item);
        place(items, Some(at));
    }
}
