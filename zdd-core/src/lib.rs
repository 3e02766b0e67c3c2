//! Vocabulary, traits and crash-safe rollout engine for zero-downtime deployments.
