//! What a Deployment asks for, with the API's defaults and the resolved
//! numbers of `maxSurge` and `maxUnavailable`.

use serde_json::Value;

use crate::controller::meta::{Round, int_or_percent};
use crate::object::Object;

/// The API writes this for "no deadline".
const NO_DEADLINE: i64 = i32::MAX as i64;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Strategy {
    Recreate,
    RollingUpdate,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) replicas: i64,
    pub(super) strategy: Strategy,
    /// Rounded up; 0 for `Recreate`.
    pub(super) max_surge: i64,
    /// Rounded down, never more than `replicas`; 0 for `Recreate`.
    pub(super) max_unavailable: i64,
    pub(super) min_ready_seconds: i64,
    pub(super) paused: bool,
    pub(super) progress_deadline: Option<i64>,
    pub(super) history_limit: Option<i64>,
}

impl Spec {
    pub(super) fn read(deployment: &Value) -> Self {
        let spec = &deployment["spec"];
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let strategy = match spec["strategy"]["type"].as_str() {
            Some("Recreate") => Strategy::Recreate,
            _ => Strategy::RollingUpdate,
        };
        let (max_surge, max_unavailable) = match strategy {
            Strategy::Recreate => (0, 0),
            Strategy::RollingUpdate => limits(&spec["strategy"]["rollingUpdate"], replicas),
        };
        let deadline = spec["progressDeadlineSeconds"].as_i64().unwrap_or(600);
        let limit = spec["revisionHistoryLimit"].as_i64().unwrap_or(10);
        Self {
            replicas,
            strategy,
            max_surge,
            max_unavailable,
            min_ready_seconds: deployment.int("/spec/minReadySeconds").unwrap_or_default(),
            paused: spec["paused"] == true,
            progress_deadline: (deadline != NO_DEADLINE).then_some(deadline),
            history_limit: (limit != i64::from(i32::MAX)).then_some(limit),
        }
    }
}

/// Resolves both limits; where both come out as 0, one pod may be unavailable, because nothing
/// could move otherwise (`ResolveFenceposts`).
fn limits(rolling: &Value, replicas: i64) -> (i64, i64) {
    let quarter = Value::from("25%");
    let read = |key: &str, round| {
        let value = rolling.get(key).filter(|value| !value.is_null()).unwrap_or(&quarter);
        int_or_percent(value, replicas, round).unwrap_or_default().max(0)
    };
    let surge = read("maxSurge", Round::Up);
    let unavailable = read("maxUnavailable", Round::Down);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    (surge, unavailable.min(replicas))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resolved(
        surge: impl Into<Value>,
        unavailable: impl Into<Value>,
        replicas: i64,
    ) -> (i64, i64) {
        limits(&json!({"maxSurge": surge.into(), "maxUnavailable": unavailable.into()}), replicas)
    }

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        assert_eq!(resolved("25%", "25%", 10), (3, 2));
        assert_eq!(resolved("25%", "25%", 1), (1, 0));
        assert_eq!(resolved("1%", "99%", 7), (1, 6));
    }

    #[test]
    fn one_pod_may_go_when_both_limits_are_zero() {
        assert_eq!(resolved(0, 0, 4), (0, 1));
        assert_eq!(resolved("0%", "10%", 4), (0, 1));
    }

    #[test]
    fn unavailable_is_never_more_than_the_replicas() {
        assert_eq!(resolved(1, 9, 4), (1, 4));
    }

    #[test]
    fn absent_limits_are_a_quarter() {
        assert_eq!(limits(&Value::Null, 8), (2, 2));
    }
}
