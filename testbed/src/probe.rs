//! Asks a component whether it is ready.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// How to tell that a component is ready.
#[derive(Clone, Debug)]
pub(crate) enum Probe {
    /// It answers 200 over HTTP.
    Http { port: u16, path: &'static str },
    /// It answers 200 over TLS.
    Https { port: u16, path: &'static str },
    /// It accepts connections on a Unix socket.
    Socket { path: PathBuf },
}

/// How long a component has to answer one question.
const ANSWER: Duration = Duration::from_secs(2);

/// A client with the credentials of the administrator.
#[derive(Clone)]
pub(crate) struct Client {
    tls: TlsConnector,
}

// By hand, for the connector holds a key and prints nothing of use.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Probe {
    pub(crate) fn http(port: u16, path: &'static str) -> Self {
        Self::Http { port, path }
    }

    pub(crate) fn https(port: u16, path: &'static str) -> Self {
        Self::Https { port, path }
    }

    pub(crate) fn socket(path: PathBuf) -> Self {
        Self::Socket { path }
    }

    /// Asks once.
    pub(crate) async fn ask(&self, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::Http { port, path } => {
                let stream = within(TcpStream::connect(("127.0.0.1", *port))).await??;
                within(get(stream, path)).await??;
            }
            Self::Https { port, path } => {
                client.get(*port, path).await?;
            }
            Self::Socket { path } => {
                within(UnixStream::connect(path)).await??;
            }
        }
        Ok(())
    }
}

impl Client {
    /// Reads the credentials.
    pub(crate) fn new(pki: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pki.join("ca.crt"))?)?;
        let certificate = CertificateDer::from_pem_file(pki.join("admin.crt"))?;
        let key = PrivateKeyDer::from_pem_file(pki.join("admin.key"))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Gets something over TLS from a port on 127.0.0.1.
    pub(crate) async fn get(&self, port: u16, path: &str) -> anyhow::Result<String> {
        let ask = async {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            let name = ServerName::try_from("localhost")?;
            get(self.tls.connect(name, stream).await?, path).await
        };
        within(ask).await?
    }
}

async fn within<T>(asking: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(ANSWER, asking).await.context("no answer within two seconds")
}

/// Sends one request and returns the body of a 200.
///
/// HTTP/1.0, so that the answer comes in one piece and ends with the connection.
async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: &str,
) -> anyhow::Result<String> {
    let request =
        format!("GET {path} HTTP/1.0\r\nhost: localhost\r\naccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer ended early")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "the answer was {status}: {}", body.trim());
    Ok(body.to_owned())
}
