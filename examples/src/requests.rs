//! Counts the API requests of a client by verb.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use kube::client::Body;
use tower::{Layer, Service};

/// A tower layer that counts requests to the Kubernetes API by verb. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct RequestCounter {
    verbs: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl RequestCounter {
    /// Returns the counts so far.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.verbs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, request: &http::Request<Body>) {
        let mut verbs = self.verbs.lock().unwrap_or_else(PoisonError::into_inner);
        *verbs.entry(verb(request.method(), request.uri())).or_default() += 1;
    }
}

/// The verb, as RBAC and audit logs name it.
fn verb(method: &http::Method, uri: &http::Uri) -> &'static str {
    match method.as_str() {
        "DELETE" => "delete",
        "PATCH" => "patch",
        "POST" => "create",
        "PUT" => "update",
        _ if uri.query().is_some_and(|query| query.contains("watch=true")) => "watch",
        _ if names_an_object(uri.path()) => "get",
        _ => "list",
    }
}

/// `/api/v1/namespaces/NS/PLURAL/NAME` and `/apis/GROUP/V/namespaces/NS/PLURAL/NAME`.
fn names_an_object(path: &str) -> bool {
    let mut parts = path.trim_matches('/').split('/').skip_while(|part| *part != "namespaces");
    parts.nth(3).is_some()
}

impl<S> Layer<S> for RequestCounter {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, counter: self.clone() }
    }
}

/// The service of [`RequestCounter`].
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    counter: RequestCounter,
}

impl<S: Service<http::Request<Body>>> Service<http::Request<Body>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> S::Future {
        self.counter.count(&request);
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_those_of_an_audit_log() {
        let of = |method: &http::Method, uri: &str| verb(method, &uri.parse().unwrap());
        let (get, base) = (&http::Method::GET, "/apis/apps/v1/namespaces/default/deployments");
        assert_eq!(of(get, base), "list");
        assert_eq!(of(get, &format!("{base}/web?pretty=false")), "get");
        assert_eq!(of(get, &format!("{base}?watch=true&fieldSelector=a")), "watch");
        assert_eq!(of(&http::Method::PATCH, &format!("{base}/web")), "patch");
        assert_eq!(of(get, "/api/v1/namespaces/default/configmaps/zdd"), "get");
    }
}
