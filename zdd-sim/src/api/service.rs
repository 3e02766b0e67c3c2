//! Addresses and node ports of Services.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::status::FieldError;
use crate::collection::Collection;
use crate::object::Object;
use crate::store::Store;

/// 10.96.0.0/16, without the network's own address and that of the API's Service.
const FIRST_ADDRESS: u32 = 0x0a60_000a;
const LAST_ADDRESS: u32 = 0x0a60_fffe;
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

/// Gives a Service what it needs; a replacement without addresses keeps those of the old one.
///
/// # Errors
/// An address or port that another Service has.
pub(crate) fn allocate(
    store: &Store,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), FieldError> {
    let kind = object["spec"]["type"].as_str().unwrap_or_default().to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    if let Some(old) = old.filter(|old| old["spec"]["type"] != "ExternalName") {
        keep(&mut object["spec"], &old["spec"]);
    }
    let uid = old.map(Object::uid).unwrap_or_default();
    address(store, &mut object["spec"], uid)?;
    if matches!(kind.as_str(), "LoadBalancer" | "NodePort") {
        node_ports(store, &mut object["spec"], uid);
    } else if let Some(ports) = object["spec"]["ports"].as_array_mut() {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            port.remove("nodePort");
        }
    }
    Ok(())
}

fn keep(spec: &mut Value, old: &Value) {
    for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if spec.get(key).is_none_or(Value::is_null)
            && let Some(value) = old.get(key)
        {
            spec[key] = value.clone();
        }
    }
    let old_ports = old["ports"].as_array().cloned().unwrap_or_default();
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let same =
            |other: &&Value| other["port"] == port["port"] && other["protocol"] == port["protocol"];
        if port.get("nodePort").is_none()
            && let Some(number) = old_ports.iter().find(same).and_then(|old| old.get("nodePort"))
        {
            port["nodePort"] = number.clone();
        }
    }
}

fn address(store: &Store, spec: &mut Value, uid: &str) -> Result<(), FieldError> {
    let others = || store.list(&Collection::SERVICES, None).filter(|it| it.uid() != uid);
    let asked = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
    let address = match asked.as_str() {
        "" => {
            let taken: BTreeSet<&str> =
                others().filter_map(|it| it.text("/spec/clusterIP")).collect();
            (FIRST_ADDRESS..=LAST_ADDRESS)
                .map(|bits| std::net::Ipv4Addr::from_bits(bits).to_string())
                .find(|address| !taken.contains(address.as_str()))
                .unwrap_or_default()
        }
        "None" => asked,
        _ if others().any(|it| it.text("/spec/clusterIP") == Some(&asked)) => {
            let why = format!("failed to allocate IP {asked}: provided IP is already allocated");
            return Err(FieldError::invalid("spec.clusterIPs", &json!([asked]), why));
        }
        _ => asked,
    };
    spec["clusterIPs"] = json!([address]);
    spec["clusterIP"] = address.into();
    for (key, value) in [("ipFamilies", json!(["IPv4"])), ("ipFamilyPolicy", json!("SingleStack"))]
    {
        if spec.get(key).is_none_or(Value::is_null) {
            spec[key] = value;
        }
    }
    Ok(())
}

fn node_ports(store: &Store, spec: &mut Value, uid: &str) {
    let others = store.list(&Collection::SERVICES, None).filter(|it| it.uid() != uid);
    let mut taken: BTreeSet<i64> = others
        .flat_map(|it| it["spec"]["ports"].as_array().into_iter().flatten())
        .filter_map(|port| port["nodePort"].as_i64())
        .collect();
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if port["nodePort"].as_i64().unwrap_or_default() == 0
            && let Some(free) = NODE_PORTS.clone().find(|number| !taken.contains(number))
        {
            port["nodePort"] = free.into();
        }
        taken.extend(port["nodePort"].as_i64());
    }
}
