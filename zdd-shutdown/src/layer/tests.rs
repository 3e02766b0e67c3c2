use std::{convert::Infallible, time::Duration};

use http::{HeaderValue, Version};

use super::*;
use crate::{Phase, Reason, Shutdown};

#[derive(Clone)]
struct Echo;

impl Service<Request<()>> for Echo {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let status = match request.uri().path() {
            "/upgrade" => 101,
            "/too-old" => 426,
            "/forbidden" => 403,
            _ => 200,
        };
        let mut response = Response::builder().status(status);
        if status == 426 {
            response =
                response.header("connection", "Keep-Alive , upgrade").header("upgrade", "h2c");
        }
        std::future::ready(Ok(response.body("hello".to_owned()).unwrap()))
    }
}

async fn in_phase(phase: Phase) -> Shutdown {
    let shutdown = Shutdown::builder().embed().unwrap();
    shutdown.readiness().mark_ready();
    shutdown.shared.reached(Phase::Serving).await;
    if phase >= Phase::Draining {
        // Keeps the phase from moving on.
        std::mem::forget(shutdown.guard());
        shutdown.trigger(Reason::Completed);
        shutdown.draining().await;
    }
    shutdown
}

fn get(uri: &str, version: Version) -> Request<()> {
    Request::builder().uri(uri).version(version).body(()).unwrap()
}

#[tokio::test]
async fn a_request_counts_from_its_call_to_the_end_of_its_body() {
    let shutdown = in_phase(Phase::Serving).await;
    let mut service = shutdown.layer().layer(Echo);
    let future = service.call(get("/", Version::HTTP_11));
    assert_eq!(shutdown.in_flight(), 1, "before the first poll");
    let response = future.await.unwrap();
    assert_eq!(shutdown.in_flight(), 1, "with the head");
    let mut body = Box::pin(response.into_body());
    let poll = |body: &mut Pin<Box<DrainBody<String>>>| {
        body.as_mut().poll_frame(&mut Context::from_waker(std::task::Waker::noop()))
    };
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
    assert_eq!(shutdown.in_flight(), 1, "with data");
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    assert_eq!(shutdown.in_flight(), 0, "after the end");
}

#[tokio::test]
async fn a_dropped_future_and_a_dropped_body_give_their_places_back() {
    let shutdown = in_phase(Phase::Serving).await;
    let mut service = shutdown.layer().layer(Echo);
    drop(service.call(get("/", Version::HTTP_11)));
    drop(service.call(get("/", Version::HTTP_11)).await.unwrap());
    assert_eq!(shutdown.in_flight(), 0);
}

#[tokio::test]
async fn only_http1_responses_ask_to_close_and_only_while_draining() {
    let cases = [
        (Phase::Serving, "/", Version::HTTP_11, false),
        (Phase::Draining, "/", Version::HTTP_11, true),
        (Phase::Draining, "/", Version::HTTP_10, true),
        (Phase::Draining, "/", Version::HTTP_2, false),
        (Phase::Draining, "/upgrade", Version::HTTP_11, false),
    ];
    for (phase, uri, version, expected) in cases {
        let shutdown = in_phase(phase).await;
        let response = shutdown.layer().layer(Echo).call(get(uri, version)).await.unwrap();
        let closes =
            response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        assert_eq!(closes, expected, "{phase} {uri} {version:?}");
    }
}

#[tokio::test]
async fn probes_are_not_traffic() {
    let shutdown = in_phase(Phase::Draining).await;
    let mut service = shutdown.layer().layer(Echo);
    let arrivals = || shutdown.shared.arrivals.load(Ordering::Relaxed);
    let _ = service.call(get("/readyz", Version::HTTP_11)).await;
    let mut probe = get("/custom", Version::HTTP_11);
    probe.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("kube-probe/1.37"));
    let _ = service.call(probe).await;
    assert_eq!(arrivals(), 0);
    let _ = service.call(get("/", Version::HTTP_11)).await;
    assert_eq!(arrivals(), 1);
}

#[tokio::test]
async fn a_tunnel_is_not_asked_to_close_and_a_refused_one_is() {
    let shutdown = in_phase(Phase::Draining).await;
    for (uri, expected) in [("/tunnel", None), ("/forbidden", Some("close"))] {
        let mut request = get(uri, Version::HTTP_11);
        *request.method_mut() = http::Method::CONNECT;
        let response = shutdown.layer().layer(Echo).call(request).await.unwrap();
        let connection =
            response.headers().get(header::CONNECTION).map(|value| value.to_str().unwrap());
        assert_eq!(connection, expected, "{uri}");
    }
}

#[tokio::test]
async fn other_options_of_the_connection_stay() {
    let shutdown = in_phase(Phase::Draining).await;
    let request = get("/too-old", Version::HTTP_11);
    let response = shutdown.layer().layer(Echo).call(request).await.unwrap();
    assert_eq!(response.headers()[header::CONNECTION], "close, upgrade");
}

#[tokio::test]
async fn no_request_is_refused_even_when_the_time_of_requests_is_over() {
    let shutdown = Shutdown::builder().deadline(Duration::from_millis(200)).embed().unwrap();
    let mut service = shutdown.layer().layer(Echo);
    shutdown.trigger(Reason::Completed);
    shutdown.aborting().await;
    assert_eq!(service.call(get("/", Version::HTTP_11)).await.unwrap().status(), 200);
}
