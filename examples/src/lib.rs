//! Programs to copy from; each runs offline on the embedded cluster.
