//! An embedded Kubernetes for tests and first steps: API server, controllers, pods, data plane, faults, virtual time.
