//! Guards that hold up the end.

use std::fmt;

use crate::counter::Place;

/// Holds up the end of Closing until dropped.
///
/// Made by [`ShutdownHandle::guard`](crate::ShutdownHandle::guard). Dropping
/// is all there is to do; a guard that is leaked costs the time up to the end
/// of Closing and shows up in the report as abandoned.
#[must_use = "the guard holds nothing up once dropped"]
pub struct Guard {
    _place: Place,
}

impl Guard {
    pub(crate) fn new(place: Place) -> Self {
        Self { _place: place }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}
