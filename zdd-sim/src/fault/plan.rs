//! Which request meets which fault, as a value and as text.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::Verb;

/// What goes wrong with one request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The server answers with a conflict, although there was none. Updates and patches only.
    Conflict,
    /// The client dies after the request had its effect, before the answer.
    CrashAfter,
    /// The client dies before the request is sent.
    CrashBefore,
    /// The connection closes after the request had its effect, before the answer.
    DropAfter,
    /// The connection closes before the request reached the server.
    DropBefore,
    /// The request has its effect, and the answer is an error.
    ErrorAfter {
        /// The HTTP status of the answer.
        status: u16,
    },
    /// The request has no effect, and the answer is an error.
    ErrorBefore {
        /// The HTTP status of the answer.
        status: u16,
    },
    /// The revision is said to be gone: by an ERROR event of a watch, by status of a list.
    ///
    /// Meets only requests that name the revision: a watch from it on, the next page of a list.
    Gone,
    /// The revision is said to be gone by the HTTP status, of a watch too.
    GoneHttp,
    /// The request has its effect, and no answer ever comes.
    HangAfter,
    /// The request is lost, and no answer ever comes.
    HangBefore,
    /// A read shows the cluster as it was some revisions ago, as a second server does that lags.
    ///
    /// Meets only reads that name a resourceVersion, and shows nothing older than that: without
    /// one, a read is consistent whichever server answers.
    Stale {
        /// How many revisions the read is behind.
        revisions: u64,
    },
    /// The server asks to come back later; the request had no effect.
    TooManyRequests {
        /// The seconds that the server asks for.
        retry_after: u32,
    },
    /// The watch breaks off after some events, without an end.
    WatchDrop {
        /// How many events still arrive.
        events: usize,
    },
    /// The watch delivers everything late.
    WatchStale {
        /// How late.
        delay: Duration,
    },
}

impl Fault {
    /// Tells whether the fault can meet a request of this verb; [`Seen::can_meet`] knows more.
    ///
    /// [`Seen::can_meet`]: crate::Seen::can_meet
    #[must_use]
    pub fn meets(&self, verb: Verb) -> bool {
        match self {
            Self::Conflict => matches!(verb, Verb::Patch | Verb::Update),
            Self::Gone => matches!(verb, Verb::List | Verb::Watch),
            Self::GoneHttp | Self::WatchDrop { .. } | Self::WatchStale { .. } => {
                verb == Verb::Watch
            }
            Self::Stale { .. } => !verb.writes(),
            Self::CrashAfter
            | Self::CrashBefore
            | Self::DropAfter
            | Self::DropBefore
            | Self::ErrorAfter { .. }
            | Self::ErrorBefore { .. }
            | Self::HangAfter
            | Self::HangBefore
            | Self::TooManyRequests { .. } => true,
        }
    }

    /// Returns the faults that every request of a verb can meet, each with usual values: what an
    /// exhaustive run goes through.
    #[must_use]
    pub fn all_for(verb: Verb) -> Vec<Self> {
        let all = [
            Self::Conflict,
            Self::CrashAfter,
            Self::CrashBefore,
            Self::DropAfter,
            Self::DropBefore,
            Self::ErrorAfter { status: 500 },
            Self::ErrorAfter { status: 504 },
            Self::ErrorBefore { status: 401 },
            Self::ErrorBefore { status: 500 },
            Self::ErrorBefore { status: 503 },
            Self::Gone,
            Self::GoneHttp,
            Self::HangAfter,
            Self::HangBefore,
            Self::Stale { revisions: 5 },
            Self::TooManyRequests { retry_after: 1 },
            Self::WatchDrop { events: 1 },
            Self::WatchStale { delay: Duration::from_secs(5) },
        ];
        all.into_iter().filter(|fault| fault.meets(verb)).collect()
    }

    fn random(random: &mut fastrand::Rng, verb: Verb) -> Self {
        let mut all = Self::all_for(verb);
        let mut fault = all.swap_remove(random.usize(..all.len()));
        match &mut fault {
            Self::Stale { revisions } => *revisions = random.u64(1..40),
            Self::TooManyRequests { retry_after } => *retry_after = random.u32(1..10),
            Self::WatchDrop { events } => *events = random.usize(..12),
            Self::WatchStale { delay } => *delay = Duration::from_millis(random.u64(1..60_000)),
            Self::Conflict
            | Self::CrashAfter
            | Self::CrashBefore
            | Self::DropAfter
            | Self::DropBefore
            | Self::ErrorAfter { .. }
            | Self::ErrorBefore { .. }
            | Self::Gone
            | Self::GoneHttp
            | Self::HangAfter
            | Self::HangBefore => {}
        }
        fault
    }
}

/// The faults of one client by the number of the request.
///
/// Written as `3:crash-after,7:error-before=500`; the empty plan is the empty text.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct Plan(BTreeMap<usize, Fault>);

impl Plan {
    /// Plans one fault.
    #[must_use]
    pub fn single(request: usize, fault: Fault) -> Self {
        Self(BTreeMap::from([(request, fault)]))
    }

    /// Plans some faults at random places of a run whose requests had these verbs.
    ///
    /// The same seed gives the same plan. A place that is drawn twice keeps the later fault.
    #[must_use]
    pub fn random(seed: u64, faults: usize, verbs: &[Verb]) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut plan = Self::default();
        if verbs.is_empty() {
            return plan;
        }
        for _ in 0..faults {
            let at = random.usize(..verbs.len());
            plan.0.insert(at, Fault::random(&mut random, verbs[at]));
        }
        plan
    }

    /// Adds a fault.
    #[must_use]
    pub fn with(mut self, request: usize, fault: Fault) -> Self {
        self.0.insert(request, fault);
        self
    }

    /// Returns the fault of a request.
    #[must_use]
    pub fn get(&self, request: usize) -> Option<&Fault> {
        self.0.get(&request)
    }

    /// Returns all faults in order of requests.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Fault)> {
        self.0.iter().map(|(at, fault)| (*at, fault))
    }

    /// Tells whether nothing is planned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A plan's text that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("failed to read fault \"{part}\": write it as REQUEST:FAULT or REQUEST:FAULT=NUMBER")]
pub struct PlanError {
    part: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("conflict"),
            Self::CrashAfter => f.write_str("crash-after"),
            Self::CrashBefore => f.write_str("crash-before"),
            Self::DropAfter => f.write_str("drop-after"),
            Self::DropBefore => f.write_str("drop-before"),
            Self::ErrorAfter { status } => write!(f, "error-after={status}"),
            Self::ErrorBefore { status } => write!(f, "error-before={status}"),
            Self::Gone => f.write_str("gone"),
            Self::GoneHttp => f.write_str("gone-http"),
            Self::HangAfter => f.write_str("hang-after"),
            Self::HangBefore => f.write_str("hang-before"),
            Self::Stale { revisions } => write!(f, "stale={revisions}"),
            Self::TooManyRequests { retry_after } => write!(f, "too-many-requests={retry_after}"),
            Self::WatchDrop { events } => write!(f, "watch-drop={events}"),
            Self::WatchStale { delay } => write!(f, "watch-stale={}", delay.as_millis()),
        }
    }
}

impl FromStr for Fault {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let error = || PlanError { part: text.to_owned() };
        let (name, number) = match text.split_once('=') {
            Some((name, number)) => (name, Some(number.parse::<u64>().map_err(|_| error())?)),
            None => (text, None),
        };
        let status = |number: u64| {
            let status = u16::try_from(number).ok().filter(|status| (100..600).contains(status));
            status.ok_or_else(error)
        };
        Ok(match (name, number) {
            ("conflict", None) => Self::Conflict,
            ("crash-after", None) => Self::CrashAfter,
            ("crash-before", None) => Self::CrashBefore,
            ("drop-after", None) => Self::DropAfter,
            ("drop-before", None) => Self::DropBefore,
            ("error-after", Some(number)) => Self::ErrorAfter { status: status(number)? },
            ("error-before", Some(number)) => Self::ErrorBefore { status: status(number)? },
            ("gone", None) => Self::Gone,
            ("gone-http", None) => Self::GoneHttp,
            ("hang-after", None) => Self::HangAfter,
            ("hang-before", None) => Self::HangBefore,
            ("stale", Some(revisions)) => Self::Stale { revisions },
            ("too-many-requests", Some(number)) => {
                Self::TooManyRequests { retry_after: u32::try_from(number).map_err(|_| error())? }
            }
            ("watch-drop", Some(number)) => {
                Self::WatchDrop { events: usize::try_from(number).map_err(|_| error())? }
            }
            ("watch-stale", Some(number)) => {
                Self::WatchStale { delay: Duration::from_millis(number) }
            }
            _ => return Err(error()),
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (at, fault)) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            write!(f, "{comma}{at}:{fault}")?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let error = || PlanError { part: part.to_owned() };
            let (at, fault) = part.split_once(':').ok_or_else(error)?;
            let at = at.parse().map_err(|_| error())?;
            plan.0.insert(at, fault.parse().map_err(|_| error())?);
        }
        Ok(plan)
    }
}

impl From<Plan> for String {
    fn from(plan: Plan) -> Self {
        plan.to_string()
    }
}

impl TryFrom<String> for Plan {
    type Error = PlanError;

    fn try_from(text: String) -> Result<Self, PlanError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_survives_its_text() {
        for verb in Verb::ALL {
            for (at, fault) in Fault::all_for(verb).into_iter().enumerate() {
                let plan = Plan::single(at, fault);
                assert_eq!(plan.to_string().parse(), Ok(plan));
            }
        }
    }

    #[test]
    fn a_seed_gives_one_plan_and_its_text_replays_it() {
        let verbs = [Verb::Watch, Verb::Get, Verb::Patch, Verb::Create];
        for seed in 0..500 {
            let plan = Plan::random(seed, 2, &verbs);
            assert_eq!(plan, Plan::random(seed, 2, &verbs));
            assert_eq!(plan.to_string().parse(), Ok(plan.clone()));
            assert!(plan.iter().all(|(at, fault)| fault.meets(verbs[at])), "{plan}");
        }
    }

    #[test]
    fn broken_text_names_the_part() {
        for text in
            ["crash-after", "1:crash", "x:gone", "1:error-after", "1:error-after=9", "1:gone=1"]
        {
            let error = format!("0:gone,{text}").parse::<Plan>().unwrap_err();
            assert!(error.to_string().contains(&format!("\"{text}\"")), "{error}");
        }
    }
}
