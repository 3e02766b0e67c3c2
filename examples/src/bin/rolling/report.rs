//! What is left to read at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use zdd_core::{Outcome, PhaseTime, Report};
use zdd_load::Totals;

/// The result of a run; its JSON form is the last line with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    strategy: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    requests: Totals,
    phases: Vec<PhaseTime>,
    total_ms: u64,
    /// What the slowest necessary chain of pod starts, readiness and asked waits alone takes;
    /// absent when it did not get that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_ms: Option<u64>,
    api_requests: BTreeMap<&'static str, u64>,
}

impl Summary {
    pub(crate) fn new(
        report: Report,
        requests: Totals,
        (total, limit): (Duration, Option<Duration>),
        api_requests: BTreeMap<&'static str, u64>,
    ) -> Self {
        let outcome = match report.outcome {
            Outcome::Promoted => "promoted",
            Outcome::RolledBack { .. } => "rolled-back",
            Outcome::Stuck { .. } => "stuck",
            Outcome::Superseded { .. } => "superseded",
        };
        let promoted = report.outcome == Outcome::Promoted;
        Self {
            strategy: report.strategy,
            outcome,
            detail: (!promoted).then(|| report.outcome.to_string()),
            requests,
            phases: report.phases,
            total_ms: milliseconds(total),
            limit_ms: limit.filter(|_| promoted).map(milliseconds),
            api_requests,
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.detail.as_deref().unwrap_or(self.outcome))?;
        for phase in &self.phases {
            writeln!(f, "  {:<10} {:>7.2} s", phase.name, phase.time.as_secs_f64())?;
        }
        write!(f, "  {:<10} {:>7} ms", "total", self.total_ms)?;
        match self.limit_ms {
            Some(limit) => writeln!(f, " (the pods alone need {limit} ms)")?,
            None => writeln!(f)?,
        }
        let api: Vec<_> = self.api_requests.iter().map(|(verb, n)| format!("{n} {verb}")).collect();
        writeln!(f, "API requests: {}", api.join(", "))?;
        if self.requests.sent == 0 {
            return write!(f, "no requests were sent; --service-address sends some");
        }
        writeln!(f, "requests sent: {}", self.requests.sent)?;
        write!(f, "requests failed: {}", self.requests.failed)?;
        for (cause, count) in &self.requests.causes {
            write!(f, "\n  {count} {cause}")?;
        }
        Ok(())
    }
}
