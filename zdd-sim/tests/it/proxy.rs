//! The data plane on real sockets.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use zdd_sim::{
    Cluster, Collection, Deletion, Latencies, Object, Proxy, ServiceCounts, ServicePort,
};

const LIMIT: Duration = Duration::from_secs(10);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A proxy for one Service, with the means to change its backends.
struct World {
    proxy: Proxy,
    address: SocketAddr,
    cluster: Cluster,
}

impl World {
    fn new(backends: &[(&str, SocketAddr)]) -> Self {
        let cluster = Cluster::builder().latencies(Latencies::none()).build();
        let proxy = Proxy::new(cluster.routes());
        let address = proxy.listen(web(), ANY).unwrap();
        let world = Self { proxy, address, cluster };
        world.route(backends);
        world
    }

    /// Makes these pods the only endpoints.
    fn route(&self, backends: &[(&str, SocketAddr)]) {
        let actor = Arc::from("test");
        let slices = Collection::ENDPOINT_SLICES;
        self.cluster.with_store(|store| {
            let old: Vec<_> = store.list(&slices, Some("shop")).cloned().collect();
            for slice in old {
                let place = ("shop", slice.name());
                store.delete(&actor, &slices, place, &Deletion::default()).unwrap();
            }
            for (pod, at) in backends {
                store.create(&actor, &slices, slice(pod, *at)).unwrap();
            }
        });
        assert_eq!(self.cluster.step(), None, "nothing is left to come");
    }

    async fn connect(&self) -> TcpStream {
        timeout(LIMIT, TcpStream::connect(self.address)).await.unwrap().unwrap()
    }

    /// Waits until the counts fulfil a condition.
    async fn counts_reach(&self, done: impl Fn(&ServiceCounts) -> bool) {
        let reached = async {
            while !done(&self.proxy.counts().of(&web())) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let reached = timeout(LIMIT, reached).await;
        assert!(reached.is_ok(), "still {:?}", self.proxy.counts().of(&web()));
    }
}

fn web() -> ServicePort {
    ServicePort::new("shop", "web", "http")
}

/// A slice of one endpoint, as someone would write it by hand.
fn slice(pod: &str, at: SocketAddr) -> Value {
    json!({
        "metadata": {
            "name": format!("web-{pod}"),
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": at.port()}],
        "endpoints": [{
            "addresses": [at.ip().to_string()],
            "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": pod},
        }],
    })
}

async fn listener() -> (TcpListener, SocketAddr) {
    listener_on(Ipv4Addr::LOCALHOST).await
}

async fn listener_on(ip: Ipv4Addr) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nothing listens, of another pod than [`listener`]'s.
async fn closed_port() -> SocketAddr {
    listener_on(Ipv4Addr::new(127, 0, 0, 2)).await.1
}

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(LIMIT, listener.accept()).await.unwrap().unwrap().0
}

async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(LIMIT, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

async fn ends_with(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    timeout(LIMIT, stream.read(&mut [0; 16])).await.unwrap().map_err(|error| error.kind())
}

#[tokio::test]
async fn a_half_close_passes_and_the_answer_still_arrives() {
    let (pod, at) = listener().await;
    let world = World::new(&[("web-1", at)]);
    let mut client = world.connect().await;
    let mut server = accept(&pod).await;

    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut server, 8).await, b"question");
    assert_eq!(ends_with(&mut server).await, Ok(0));
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(read(&mut client, 6).await, b"answer");
    assert_eq!(ends_with(&mut client).await, Ok(0));

    world.counts_reach(|c| c.total().closed == 1).await;
    let total = world.proxy.counts().of(&web()).total();
    assert_eq!((total.bytes_in, total.bytes_out), (8, 6));
}

#[tokio::test]
async fn a_connection_stays_on_its_backend_when_the_routes_change() {
    let (old, old_at) = listener().await;
    let (new, new_at) = listener().await;
    let world = World::new(&[("old", old_at)]);
    let mut first = world.connect().await;
    let mut on_old = accept(&old).await;

    world.route(&[("new", new_at)]);
    let mut second = world.connect().await;
    let mut on_new = accept(&new).await;

    first.write_all(b"1").await.unwrap();
    second.write_all(b"2").await.unwrap();
    assert_eq!(read(&mut on_old, 1).await, b"1");
    assert_eq!(read(&mut on_new, 1).await, b"2");
    let counts = world.proxy.counts().of(&web());
    assert_eq!(counts.backends["old"].open(), 1);
    assert_eq!(counts.backends["new"].open(), 1);
}

#[tokio::test]
async fn a_refusal_reaches_the_client_and_is_never_retried() {
    let (pod, at) = listener().await;
    let world = World::new(&[("alive", at), ("dead", closed_port().await)]);
    let clients = 200;
    let mut reset = 0;
    for _ in 0..clients {
        let mut client = world.connect().await;
        tokio::select! {
            served = pod.accept() => drop(served.unwrap()),
            end = ends_with(&mut client) => {
                assert_eq!(end, Err(ErrorKind::ConnectionReset));
                reset += 1;
            }
        }
    }
    world.counts_reach(|c| c.total().established + c.total().refused == clients).await;
    let counts = world.proxy.counts().of(&web());
    assert_eq!(counts.connections, clients);
    assert_eq!(counts.backends["dead"].refused, reset);
    // Both are chosen about equally often: five standard deviations off is one in a million.
    assert!((65..=135).contains(&reset), "{reset} of {clients} went to the dead pod");
}

#[tokio::test]
async fn without_an_endpoint_connections_are_reset() {
    let world = World::new(&[]);
    let mut client = world.connect().await;
    assert_eq!(ends_with(&mut client).await, Err(ErrorKind::ConnectionReset));
    let counts = world.proxy.counts().of(&web());
    assert_eq!((counts.connections, counts.no_endpoint), (1, 1));
}

#[tokio::test]
async fn a_reset_by_the_pod_reaches_the_client() {
    let (pod, at) = listener().await;
    let world = World::new(&[("web-1", at)]);
    let mut client = world.connect().await;
    let server = accept(&pod).await;
    server.set_zero_linger().unwrap();
    drop(server);
    assert_eq!(ends_with(&mut client).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(world.proxy.counts().of(&web()).total().reset_by_backend, 1);
}

#[tokio::test]
async fn a_reset_by_the_client_reaches_the_pod() {
    let (pod, at) = listener().await;
    let world = World::new(&[("web-1", at)]);
    let client = world.connect().await;
    let mut server = accept(&pod).await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(ends_with(&mut server).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(world.proxy.counts().of(&web()).total().reset_by_client, 1);
}

/// A server that closes an idle connection just as the next request arrives: the client sees the
/// close first and then, when it writes on, the reset.
#[tokio::test]
async fn a_reset_after_the_pods_last_byte_reaches_the_client() {
    let (pod, at) = listener().await;
    let world = World::new(&[("web-1", at)]);
    let mut client = world.connect().await;
    drop(accept(&pod).await);
    assert_eq!(ends_with(&mut client).await, Ok(0));
    client.write_all(b"too late").await.unwrap();
    world.counts_reach(|c| c.total().reset_by_backend == 1).await;
    let write_on = async { while client.write_all(b"more").await.is_ok() {} };
    timeout(LIMIT, write_on).await.unwrap();
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions_at_once() {
    const SIZE: usize = 3_000_001;
    let (pod, at) = listener().await;
    let world = World::new(&[("web-1", at)]);
    let client = world.connect().await;
    let server = accept(&pod).await;
    let exchange = |stream: TcpStream, byte: u8| async move {
        let (mut from, mut to) = stream.into_split();
        let mut received = Vec::new();
        let sending = async {
            to.write_all(&vec![byte; SIZE]).await.unwrap();
            to.shutdown().await.unwrap();
        };
        tokio::join!(sending, async { from.read_to_end(&mut received).await.unwrap() });
        received
    };
    let both = async { tokio::join!(exchange(client, b'c'), exchange(server, b's')) };
    let (at_client, at_server) = timeout(LIMIT, both).await.unwrap();
    assert!(at_client == vec![b's'; SIZE] && at_server == vec![b'c'; SIZE]);
}

#[tokio::test]
async fn closing_the_proxy_resets_connections_and_frees_the_address() {
    let (pod, at) = listener().await;
    let world = World::new(&[("web-1", at)]);
    let mut client = world.connect().await;
    let _server = accept(&pod).await;
    let address = world.address;
    timeout(LIMIT, world.proxy.close()).await.unwrap();
    assert_eq!(ends_with(&mut client).await, Err(ErrorKind::ConnectionReset));
    let refused = timeout(LIMIT, TcpStream::connect(address)).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let (_holder, at) = listener().await;
    let cluster = Cluster::builder().build();
    let error = Proxy::new(cluster.routes()).listen(web(), at).unwrap_err().to_string();
    assert!(error.contains("shop/web:http") && error.contains(&at.to_string()), "{error}");
}
