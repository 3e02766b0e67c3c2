//! What a client sees when no answer comes.

use thiserror::Error;

/// The connection failed: the client cannot know whether its request had an effect.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum TransportError {
    /// The connection was closed before an answer, or in the middle of one.
    #[error("connection closed before message completed")]
    Closed,
    /// The body of the request could not be read.
    #[error("failed to read the body of the request")]
    Body,
}
