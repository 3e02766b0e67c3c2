//! What disturbs one run, as a value and as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use zdd_sim::{Plan, Verb};

use crate::edit::Edit;
use crate::lull::Lull;

/// The seed of the cluster, the faults of the driver's requests, the edits of others, and what
/// stands still.
///
/// Written as `seed=7 faults=3:crash-after,9:conflict edit=2500:scale=5 lull=900:kubelet=3000`: a
/// failing run prints this text, and the text replays the run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Trial {
    /// The seed of names, delays and order in the cluster.
    pub seed: u64,
    /// The faults, by number of the driver's request, over all its lives.
    pub faults: Plan,
    /// What others do, and how long after the start.
    pub edit: Option<(Duration, Edit)>,
    /// What part of the cluster stands still, and how long after the start it begins to.
    pub lull: Option<(Duration, Lull)>,
}

impl Trial {
    /// Disturbs nothing.
    #[must_use]
    pub fn calm(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Draws two faults from a seed, in every other trial an edit by someone else, and in every
    /// other one a part of the cluster that stands still.
    ///
    /// `verbs` are those of a run without faults: they say which faults can meet which request.
    #[must_use]
    pub fn random(seed: u64, verbs: &[Verb]) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let edit = random.bool().then(|| {
            let at = Duration::from_millis(random.u64(0..12_000));
            (at, Edit::random(&mut random))
        });
        let lull = random.bool().then(|| {
            let at = Duration::from_millis(random.u64(0..12_000));
            (at, Lull::random(&mut random))
        });
        Self { seed, faults: Plan::random(seed, 2, verbs), edit, lull }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={}", self.seed)?;
        if !self.faults.is_empty() {
            write!(f, " faults={}", self.faults)?;
        }
        if let Some((at, edit)) = &self.edit {
            write!(f, " edit={}:{edit}", at.as_millis())?;
        }
        if let Some((at, lull)) = &self.lull {
            write!(f, " lull={}:{lull}", at.as_millis())?;
        }
        Ok(())
    }
}

/// A trial's text that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "failed to read \"{0}\": write a trial as \
     seed=N faults=REQUEST:FAULT,… edit=MILLIS:EDIT lull=MILLIS:PART=MILLIS"
)]
pub struct TrialError(String);

impl FromStr for Trial {
    type Err = TrialError;

    fn from_str(text: &str) -> Result<Self, TrialError> {
        let mut trial = Self::default();
        for part in text.split_whitespace() {
            let error = || TrialError(part.to_owned());
            let (key, value) = part.split_once('=').ok_or_else(error)?;
            match key {
                "seed" => trial.seed = value.parse().map_err(|_| error())?,
                "faults" => trial.faults = value.parse().map_err(|_| error())?,
                "edit" => trial.edit = Some(timed(value).ok_or_else(error)?),
                "lull" => trial.lull = Some(timed(value).ok_or_else(error)?),
                _ => return Err(error()),
            }
        }
        Ok(trial)
    }
}

/// Reads what happens at a time after the start.
fn timed<T: FromStr>(text: &str) -> Option<(Duration, T)> {
    let (at, what) = text.split_once(':')?;
    Some((Duration::from_millis(at.parse().ok()?), what.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_replays_the_trial() {
        let verbs = [Verb::Get, Verb::Patch, Verb::Watch, Verb::Create, Verb::Update];
        for seed in 0..1_000 {
            let trial = Trial::random(seed, &verbs);
            assert_eq!(trial.to_string().parse(), Ok(trial));
        }
    }

    #[test]
    fn broken_text_names_the_part() {
        for text in [
            "seed=x",
            "faults=1:nonsense",
            "edit=5",
            "edit=5:nonsense",
            "lull=5:moon=1",
            "color=red",
            "seed",
        ] {
            let error = text.parse::<Trial>().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
