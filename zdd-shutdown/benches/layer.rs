//! What a request pays for being counted, by this crate and by others.
//!
//! `cargo bench -p zdd-shutdown --bench layer`. Compare the lines with `bare`:
//! the difference is the price. Allocations are counted too; none are listed
//! where there are none.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use divan::{AllocProfiler, Bencher, black_box};
use http::{Request, Response};
use http_body::{Body, Frame};
use tower_http::metrics::InFlightRequestsLayer;
use tower_layer::Layer;
use tower_service::Service;
use zdd_shutdown::Shutdown;

#[global_allocator]
static ALLOC: AllocProfiler<std::alloc::System> = AllocProfiler::system();

/// More than there are processors show whether what is shared slows the others down.
const THREADS: [usize; 5] = [1, 2, 4, 16, 64];

fn main() {
    divan::main();
}

/// The least service there is: a response without a body.
#[derive(Clone)]
struct Nothing;

struct Empty;

impl Body for Empty {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

impl Service<Request<()>> for Nothing {
    type Response = Response<Empty>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Empty>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Empty)))
    }
}

/// Runs one request to the end of its body.
fn run<S, B>(service: &mut S) -> bool
where
    S: Service<Request<()>, Response = Response<B>>,
    B: Body,
{
    let cx = &mut Context::from_waker(Waker::noop());
    let mut future = std::pin::pin!(service.call(black_box(Request::new(()))));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(cx) else { return false };
    let mut body = std::pin::pin!(response.into_body());
    body.as_mut().poll_frame(cx).is_ready()
}

#[divan::bench(threads = THREADS)]
fn bare(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| Nothing).bench_refs(run);
}

#[divan::bench(threads = THREADS)]
fn with_layer(bencher: Bencher<'_, '_>) {
    let shutdown = Shutdown::builder().embed().expect("the defaults work");
    let layer = shutdown.layer();
    bencher.with_inputs(|| layer.layer(Nothing)).bench_refs(run);
}

/// tower-http's counter: of requests up to the end of their bodies, and no more than a number.
#[divan::bench(threads = THREADS)]
fn tower_http_in_flight(bencher: Bencher<'_, '_>) {
    let (layer, _counter) = InFlightRequestsLayer::pair();
    bencher.with_inputs(|| layer.layer(Nothing)).bench_refs(run);
}

/// The layer of the `drain` crate, which lets go when the response begins.
#[divan::bench(threads = THREADS)]
fn drain_retain(bencher: Bencher<'_, '_>) {
    let (_signal, watch) = drain::channel();
    let layer = drain::Retain::layer(watch);
    bencher.with_inputs(|| layer.layer(Nothing)).bench_refs(run);
}
