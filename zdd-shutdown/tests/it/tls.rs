//! TLS in every state in which a shutdown can meet it.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    },
};
use zdd_shutdown::Phase;

use crate::{
    raw::within,
    site::{Site, ms, quick},
};

/// A server of its own authority, and a client that trusts it.
fn configs(alpn: &[&[u8]]) -> (Arc<ServerConfig>, TlsConnector) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(signed.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (Arc::new(server), TlsConnector::from(Arc::new(client)))
}

async fn site(alpn: &[&[u8]]) -> (Site, TlsConnector) {
    let (server, connector) = configs(alpn);
    (Site::start_with(quick(), |builder| builder.tls(server)).await, connector)
}

async fn connect(site: &Site, connector: &TlsConnector) -> TlsStream<TcpStream> {
    let io = TcpStream::connect(site.address).await.unwrap();
    within(connector.connect(ServerName::try_from("localhost").unwrap(), io)).await.unwrap()
}

async fn get<I: AsyncReadExt + AsyncWriteExt + Unpin>(io: &mut I) -> String {
    io.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let read = within(io.read(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn an_idle_connection_ends_with_a_close_notify() {
    let (site, connector) = site(&[b"http/1.1"]).await;
    let mut io = connect(&site, &connector).await;
    assert!(get(&mut io).await.ends_with("hello"));
    site.trigger();
    // rustls makes the end of the stream an error unless it was announced.
    assert_eq!(within(io.read(&mut [0])).await.unwrap(), 0);
    drop(io);
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_silent_connection_gets_its_grace_and_no_more() {
    let (site, connector) = site(&[b"http/1.1"]).await;
    let (mut early, mut silent) =
        (connect(&site, &connector).await, connect(&site, &connector).await);
    site.trigger();
    tokio::time::sleep(ms(120)).await;
    assert!(get(&mut early).await.contains("connection: close"));
    assert_eq!(within(silent.read(&mut [0])).await.unwrap_or(0), 0);
    drop((early, silent));
    let report = site.finish().await;
    assert!(report.took < ms(1_000), "{report}");
    assert_eq!((report.connections.cut, report.exit_code()), (0, 0), "{report}");
}

/// Carries bytes between a client and the server, and holds the client's
/// second flight back until told to let it go.
async fn slow_wire(site: &Site) -> (DuplexStream, tokio::sync::oneshot::Sender<()>, JoinSet<()>) {
    let (client, wire) = duplex(64 * 1024);
    let server = TcpStream::connect(site.address).await.unwrap();
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let mut tasks = JoinSet::new();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (tokio::io::split(wire), server.into_split());
    tasks.spawn(async move {
        let mut hello = vec![0; 16 * 1024];
        let read = from_client.read(&mut hello).await.unwrap();
        to_server.write_all(&hello[..read]).await.unwrap();
        wait.await.unwrap();
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    tasks.spawn(async move { drop(tokio::io::copy(&mut from_server, &mut to_client).await) });
    (client, go, tasks)
}

#[tokio::test]
async fn a_handshake_under_way_is_finished_and_its_request_served() {
    let (site, connector) = site(&[b"http/1.1"]).await;
    let (io, go, _wire) = slow_wire(&site).await;
    let name = ServerName::try_from("localhost").unwrap();
    let client = async {
        let mut io = connector.connect(name, io).await.unwrap();
        get(&mut io).await
    };
    let shutdown = async {
        // The server has answered the first flight and waits for the second.
        tokio::time::sleep(ms(50)).await;
        site.trigger();
        site.reaches(Phase::Draining).await;
        tokio::time::sleep(ms(100)).await;
        go.send(()).unwrap();
    };
    let (answer, ()) = within(async { tokio::join!(client, shutdown) }).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn http2_over_tls_gets_its_goaways() {
    let (site, connector) = site(&[b"h2"]).await;
    let io = connect(&site, &connector).await;
    let (mut client, connection) = h2::client::handshake(io).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let request = http::Request::get("https://localhost/").body(()).unwrap();
    let response = client.send_request(request, true).unwrap().0;
    assert_eq!(within(response).await.unwrap().status(), 200);
    site.trigger();
    // The connection ends by the GOAWAY, to which the client has answered.
    within(tasks.join_next()).await.unwrap().unwrap();
    let report = site.finish().await;
    assert_eq!((report.connections.cut, report.exit_code()), (0, 0), "{report}");
}
