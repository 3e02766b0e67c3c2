//! Tells whether someone else has taken the target over. Pure.

use crate::outcome::Superseder;
use crate::snapshot::Snapshot;
use crate::state::{Phase, State};
use crate::step::Step;

/// Compares what the target should look like, by the journal, with what was seen.
pub(super) fn superseder(state: &State, snapshot: &Snapshot) -> Option<Superseder> {
    let Some(workload) = &snapshot.workload else {
        return Some(Superseder::Deletion);
    };
    if workload.uid != state.start.uid {
        return Some(Superseder::Recreation);
    }
    let seen = &workload.template;
    let (new, old) = (&state.start.template, &state.start.baseline.template);
    let untouched = |seen| seen == old || state.start.found.as_ref() == Some(seen);
    let expected = match (&state.pending, &state.template) {
        // A step that may or may not have happened: before or after, nothing else.
        (Some(Step::SetTemplate { template, .. }), set) => {
            seen == template
                || set.as_ref().map_or(untouched(seen) || seen == new, |set| seen == set)
        }
        (_, Some(set)) => seen == set,
        // Nothing was set on this way yet. On the way back either side may be there.
        (_, None) => {
            untouched(seen) || (matches!(state.phase, Phase::RollingBack(_)) && seen == new)
        }
    };
    (!expected).then_some(Superseder::Edit)
}
