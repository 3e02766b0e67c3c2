//! What a probe or handler does, once.

use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::process::Launch;

/// What the kubelet of this version calls itself.
const USER_AGENT: &str = "kube-probe/1.37";

/// How much of an answer the kubelet reads.
const BODY_LIMIT: usize = 10 * 1024;

/// The action of a probe or handler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Exec(Vec<String>),
    HttpGet { host: Option<String>, port: u16, path: String, headers: Vec<(String, String)> },
    Sleep(Duration),
    TcpSocket { host: Option<String>, port: u16 },
}

/// The container that an action is directed at.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) ip: IpAddr,
    /// Environment and working directory for exec; `None` where the container is no process.
    pub(crate) launch: Option<Launch>,
}

impl Action {
    /// Does it once within `limit`; the error is the message of the kubelet's event.
    pub(crate) async fn run(&self, target: &Target, limit: Duration) -> Result<(), String> {
        let acting = async {
            match self {
                Self::Exec(command) => exec(command, target).await,
                Self::HttpGet { host, port, path, headers } => {
                    let address = address(host.as_deref(), target.ip, *port)?;
                    http_get(address, path, headers).await
                }
                Self::Sleep(time) => {
                    tokio::time::sleep(*time).await;
                    Ok(())
                }
                Self::TcpSocket { host, port } => {
                    let address = address(host.as_deref(), target.ip, *port)?;
                    connect(address).await.map(drop)
                }
            }
        };
        match tokio::time::timeout(limit, acting).await {
            Ok(result) => result,
            Err(_elapsed) => Err(format!("no answer within {limit:?}")),
        }
    }
}

/// A host other than the pod's must be an address: nothing here resolves names.
fn address(host: Option<&str>, ip: IpAddr, port: u16) -> Result<SocketAddr, String> {
    let ip = match host.filter(|host| !host.is_empty()) {
        Some(host) => host.parse().map_err(|_| format!("host {host:?} is no IP address"))?,
        None => ip,
    };
    Ok(SocketAddr::new(ip, port))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("dial tcp {address}: {error}"))
}

/// Any status from 200 to 399 passes; a redirect is not followed.
async fn http_get(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<(), String> {
    let request = request(address, path, headers)?;
    let failed = |error: &dyn std::error::Error| {
        let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        format!("Get \"http://{address}{path}\": {error}{cause}")
    };
    let stream = connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failed(&e))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
        let status = response.status();
        // Reading the answer first lets the server close in order.
        let body = http_body_util::Limited::new(response.into_body(), BODY_LIMIT);
        let _ = body.collect().await;
        Ok::<_, String>(status)
    };
    let driven = async {
        // Its error, if any, is the error of the exchange too.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let status = tokio::select! {
        exchanged = exchange => exchanged?,
        () = driven => return Err("the connection ended".to_owned()),
    };
    if status.is_success() || status.is_redirection() {
        return Ok(());
    }
    Err(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
}

fn request(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<Request<Empty<Bytes>>, String> {
    let mut map = HeaderMap::new();
    map.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    map.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    map.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let host = address.to_string();
    map.insert(header::HOST, HeaderValue::try_from(host).map_err(|error| error.to_string())?);
    for (name, value) in headers {
        let name =
            HeaderName::try_from(name).map_err(|error| format!("header {name:?}: {error}"))?;
        let value =
            HeaderValue::try_from(value).map_err(|error| format!("header {name}: {error}"))?;
        map.insert(name, value);
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut request = Request::get(path).body(Empty::new()).map_err(|error| error.to_string())?;
    *request.headers_mut() = map;
    Ok(request)
}

async fn exec(command: &[String], target: &Target) -> Result<(), String> {
    let Some(launch) = &target.launch else {
        return Err("the container is no process to run a command in".to_owned());
    };
    let mut command = launch.exec(command).map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().await.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let said =
        said.chars().chain(String::from_utf8_lossy(&output.stderr).chars()).collect::<String>();
    Err(format!("{}: {}", output.status, said.trim_end()))
}
