//! Kubernetes for zdd: observe, apply, verify, journal, lease, preflight.
