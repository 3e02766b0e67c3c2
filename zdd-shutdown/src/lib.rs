//! SIGTERM drain for axum, hyper, tonic and plain tokio: no request is lost when a pod ends.
