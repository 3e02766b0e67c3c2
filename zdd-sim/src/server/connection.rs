//! One connection of a client.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::LAST_WORDS;
use crate::api::{ApiBody, ApiServer, ApiStatus, TransportError, refusal};

/// The API server's own limit of a body.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The API as it is reached over HTTP.
#[derive(Clone, Debug)]
pub(super) struct Frontend {
    api: ApiServer,
    secret: Option<Arc<str>>,
}

impl Frontend {
    pub(super) fn new(api: ApiServer, secret: Option<String>) -> Self {
        Self { api, secret: secret.map(Arc::from) }
    }

    pub(super) async fn serve(self, stream: TcpStream, end: CancellationToken) {
        // Small answers go out at once; without it a watch would wait for the client's ACK.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new());
        builder.http2().timer(TokioTimer::new());
        let service = TowerToHyperService::new(self);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = end.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended with an error");
        }
    }

    /// Takes the secret off the path.
    fn admit(&self, uri: &Uri) -> Result<Uri, ApiStatus> {
        let Some(secret) = &self.secret else { return Ok(uri.clone()) };
        let whole = uri.path_and_query().map_or("/", |path| path.as_str());
        let inner = whole.strip_prefix('/').and_then(|path| path.strip_prefix(&**secret));
        match inner {
            Some("") => Ok(Uri::from_static("/")),
            Some(path) if path.starts_with(['/', '?']) => path
                .parse()
                .map_err(|_| ApiStatus::bad_request("the path of the request is not a valid path")),
            _ if matches!(uri.path(), "/healthz" | "/livez" | "/readyz") => Ok(uri.clone()),
            _ => Err(ApiStatus::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")),
        }
    }
}

impl Service<Request<Incoming>> for Frontend {
    type Response = Response<ApiBody>;
    type Error = TransportError;
    type Future = BoxFuture<'static, Result<Response<ApiBody>, TransportError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|text| text.to_str().ok());
        let length = length.and_then(|text| text.parse().ok()).unwrap_or(0_usize);
        if length > BODY_LIMIT {
            let why = format!("Request entity too large: limit is {BODY_LIMIT}");
            let status =
                ApiStatus::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", why);
            return Box::pin(std::future::ready(Ok(refusal(&status))));
        }
        match self.admit(&parts.uri) {
            Ok(uri) => parts.uri = uri,
            Err(status) => return Box::pin(std::future::ready(Ok(refusal(&status)))),
        }
        tracing::debug!(method = %parts.method, uri = %parts.uri, "request");
        self.api.call(Request::from_parts(parts, Limited::new(body, BODY_LIMIT)))
    }
}
