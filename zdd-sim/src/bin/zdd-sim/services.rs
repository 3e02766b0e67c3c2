//! Gives each Service real listeners on loopback.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zdd_sim::{Cluster, Collection, Object, Part, Proxy, ServicePort};

/// Tells where a port of a Service is: `zdd-sim/port-http: 127.0.0.1:34567`.
const PREFIX: &str = "zdd-sim/port-";

/// One open port of a Service.
#[derive(Debug)]
struct Open {
    proxy: Proxy,
    node_port: u16,
}

type Key = (String, String, String);

/// Follows the Services until `stop` is cancelled.
pub(crate) async fn expose(cluster: Cluster, stop: CancellationToken) {
    let mut open: BTreeMap<Key, Open> = BTreeMap::new();
    let mut changed = cluster.with_store(|store| store.subscribe_to(&Collection::SERVICES));
    loop {
        let services: Vec<Arc<Value>> =
            cluster.with_store(|store| store.list(&Collection::SERVICES, None).cloned().collect());
        let wanted = wanted(&services);
        let gone: Vec<Key> = open
            .iter()
            .filter(|(key, open)| wanted.get(*key).is_none_or(|port| *port != open.node_port))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some(port) = open.remove(&key) {
                port.proxy.close().await;
            }
        }
        for (key, node_port) in wanted {
            if !open.contains_key(&key)
                && let Some(port) = listen(&cluster, &key, node_port)
            {
                open.insert(key, port);
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = changed.changed() => if changed.is_err() { break },
        }
    }
    for (_, port) in open {
        port.proxy.close().await;
    }
}

/// The ports of all Services that have pods, each with its node port, 0 without one.
fn wanted(services: &[Arc<Value>]) -> BTreeMap<Key, u16> {
    let mut all = BTreeMap::new();
    for service in services.iter().filter(|service| service["spec"]["selector"].is_object()) {
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            let name = port["name"].as_str().unwrap_or_default().to_owned();
            let node_port = port["nodePort"].as_u64().and_then(|port| port.try_into().ok());
            let key = (service.namespace().to_owned(), service.name().to_owned(), name);
            all.insert(key, node_port.unwrap_or_default());
        }
    }
    all
}

fn listen(cluster: &Cluster, key: &Key, node_port: u16) -> Option<Open> {
    let (namespace, service, port) = key;
    let proxy = Proxy::new(cluster.routes());
    let name = ServicePort::new(namespace, service, port);
    let bind = |port| proxy.listen(name.clone(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    // A node port that something else on this machine has gives way to any port.
    let address = bind(node_port).or_else(|error| {
        tracing::warn!(%error, "a node port is taken; using another one");
        bind(0)
    });
    let address = match address {
        Ok(address) => address,
        Err(error) => {
            tracing::warn!(%error, "a service is not reachable from outside of the cluster");
            return None;
        }
    };
    let actor: Arc<str> = Arc::from("zdd-sim");
    let annotation = match port.as_str() {
        "" => format!("{PREFIX}0"),
        port => format!("{PREFIX}{port}"),
    };
    let told = cluster.with_store(|store| {
        let place = (namespace.as_str(), service.as_str());
        store.modify(&actor, &Collection::SERVICES, Part::Main, place, |object| {
            if !object["metadata"]["annotations"].is_object() {
                object["metadata"]["annotations"] = json!({});
            }
            object["metadata"]["annotations"][annotation] = address.to_string().into();
        })
    });
    // Deleted in the meantime: the next look at the Services closes the port.
    if let Err(error) = told {
        tracing::debug!(%error, "a service is gone");
    }
    Some(Open { proxy, node_port })
}
