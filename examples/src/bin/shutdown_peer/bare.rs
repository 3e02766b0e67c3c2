//! hyper and a handler, to see what a layer costs and nothing else: axum's
//! `Router::layer` boxes the response body of every layer that wraps it.

use std::{convert::Infallible, net::TcpListener};

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, service_fn};
use tower_http::metrics::InFlightRequestsLayer;
use zdd_shutdown::Shutdown;

use crate::stock::hyper_util;

pub(crate) async fn plain(listener: TcpListener) -> anyhow::Result<()> {
    hyper_util(listener, service_fn(answer)).await
}

pub(crate) async fn in_flight(listener: TcpListener) -> anyhow::Result<()> {
    let (layer, _counter) = InFlightRequestsLayer::pair();
    hyper_util(listener, layer.layer(service_fn(answer))).await
}

pub(crate) async fn layer(listener: TcpListener) -> anyhow::Result<()> {
    // The signal is the server's, as for the others.
    let shutdown = Shutdown::builder().embed()?;
    hyper_util(listener, shutdown.layer().layer(service_fn(answer))).await
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("ok")))
}
