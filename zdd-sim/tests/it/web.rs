//! The service of the real rollouts: a small HTTP server, as a program and as a function.

use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_sim::{ProcessImage, ServiceImage};

/// Longer than it takes a pod's end to reach the data plane in these tests.
const LAME_DUCK: Duration = Duration::from_millis(800);
/// How long open connections may take to end after that.
const DRAIN: Duration = Duration::from_secs(5);

/// What the service does at SIGTERM.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AtTerm {
    /// It ends at once.
    Die,
    /// It serves on until traffic is elsewhere, asks clients to leave, and ends.
    Drain,
}

/// The service as a program: this test binary, told to run nothing but [`program`].
pub(crate) fn process_image(version: &str, at_term: AtTerm) -> ProcessImage {
    ProcessImage::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "web::program"])
        .env("WEB_VERSION", version)
        .env("WEB_AT_TERM", format!("{at_term:?}"))
}

/// The service as a function.
pub(crate) fn service_image(version: &'static str) -> ServiceImage {
    ServiceImage::new(move |listener, pod| async move {
        serve(listener, &pod.shutdown, version).await;
        Ok(())
    })
}

#[tokio::test]
#[ignore = "the program of process pods; only a pod starts it"]
async fn program() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let ip: IpAddr = variable("POD_IP").parse().unwrap();
    let port: u16 = variable("PORT").parse().unwrap();
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    if variable("WEB_AT_TERM") == format!("{:?}", AtTerm::Drain) {
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        let shutdown = shutdown.clone().drop_guard();
        tasks.spawn(async move {
            terminate.recv().await;
            drop(shutdown);
        });
    }
    let listener = TcpListener::bind((ip, port)).await.unwrap();
    serve(listener, &shutdown, &variable("WEB_VERSION")).await;
}

async fn serve(listener: TcpListener, shutdown: &CancellationToken, version: &str) {
    let mut connections = JoinSet::new();
    {
        let accept = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(answer(stream, shutdown.clone(), version.to_owned()));
            }
        };
        let end = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAME_DUCK).await;
        };
        tokio::select! {
            () = accept => {}
            () = end => {}
        }
    }
    // What the kernel has accepted would be reset with the listener.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        connections.spawn(answer(stream, shutdown.clone(), version.to_owned()));
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, connections.join_all()).await;
}

/// Answers the requests of one connection; while draining, the last answer says so.
async fn answer(mut stream: TcpStream, draining: CancellationToken, version: String) {
    let _ = stream.set_nodelay(true);
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut request).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
        let is_last = draining.is_cancelled();
        let close = if is_last { "connection: close\r\n" } else { "" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nx-version: {version}\r\n{close}content-length: 2\r\n\r\nok"
        );
        if stream.write_all(answer.as_bytes()).await.is_err() || is_last {
            return;
        }
    }
}
