//! Events of controllers, as far as they tell what no status does.

use jiff::Timestamp;
use serde::Deserialize;

/// The reason of an Event about a pod that could not be created.
pub(crate) const FAILED_CREATE: &str = "FailedCreate";

/// One Event, in the form of `events.k8s.io`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Happening {
    pub(crate) note: String,
    event_time: Option<Timestamp>,
    series: Option<Series>,
    /// What controllers with the older recorder write, and count up in the same object.
    deprecated_last_timestamp: Option<Timestamp>,
}

/// The repetitions of one Event.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    last_observed_time: Option<Timestamp>,
}

impl Happening {
    /// Returns when it happened last.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        let repeated = self.series.as_ref().and_then(|series| series.last_observed_time);
        [repeated, self.deprecated_last_timestamp, self.event_time].into_iter().flatten().max()
    }
}

/// Selects the Events about pods that one object could not create.
pub(crate) fn refusals_of(uid: &str) -> String {
    format!("regarding.uid={uid},reason={FAILED_CREATE}")
}
