//! What a case came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use zdd_load::{FailureSample, Report, Totals};

use super::case::{Case, End, Tool};
use super::timeline::{SPAN, Tally};

/// The result of one case.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    case: &'static str,
    pub(super) about: &'static str,
    service: &'static str,
    /// What the tool said at the end.
    detail: String,
    /// Whether it ended as it should, and the cluster was what the tool said.
    as_expected: bool,
    must_serve: bool,
    /// Not the load alone, which is there to show that nothing else loses requests.
    rolls_out: bool,
    pub(super) total_ms: u64,
    #[serde(flatten)]
    pub(super) requests: Totals,
    /// The longest that a request took.
    slowest_ms: u64,
    api_requests: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    samples: Vec<FailureSample>,
    /// Milliseconds that are counted together in `timeline`.
    span_ms: u64,
    /// From the start of the load and of the rollout on.
    pub(super) timeline: Vec<Tally>,
}

impl Row {
    pub(super) fn new(
        case: &Case,
        end: Option<End>,
        detail: String,
        took: Duration,
        reports: &[Report],
        api_requests: BTreeMap<String, u64>,
        timeline: Vec<Tally>,
    ) -> Self {
        let slowest = reports.iter().map(|report| report.latency_us.max).max();
        Self {
            case: case.name,
            about: case.about,
            service: case.service,
            detail,
            as_expected: end == Some(case.end),
            must_serve: case.must_serve,
            rolls_out: case.tool != Tool::Nobody,
            total_ms: milliseconds(took),
            requests: Totals::of(reports),
            slowest_ms: slowest.unwrap_or(0) / 1_000,
            api_requests,
            samples: reports.iter().flat_map(|report| report.samples.clone()).collect(),
            span_ms: milliseconds(SPAN),
            timeline,
        }
    }

    /// A case of a second and a half, for tests.
    #[cfg(test)]
    pub(super) fn example(timeline: Vec<Tally>) -> Self {
        let sent = timeline.iter().map(Tally::total);
        let failed = timeline.iter().map(|tally| tally.failed).sum();
        let took = Duration::from_millis(1_200);
        let case = &super::CASES[0];
        let mut row = Self::new(case, None, String::new(), took, &[], BTreeMap::new(), vec![]);
        (row.requests.sent, row.requests.failed) = (sent.sum(), failed);
        Self { timeline, ..row }
    }

    /// Tells whether it came to what zdd promises; cases without zdd promise nothing.
    pub(super) fn is_good(&self) -> bool {
        !self.must_serve || (self.as_expected && self.requests.failed == 0)
    }

    pub(super) fn line(&self) -> String {
        let mark = if self.is_good() { "" } else { "NOT AS PROMISED: " };
        let seconds = Duration::from_millis(self.total_ms).as_secs_f64();
        let Totals { sent, failed, .. } = self.requests;
        format!("{mark}{failed} failed of {sent}, {seconds:.1} s, {}", self.detail)
    }
}

/// All results as a table in Markdown; the rounds of a case are one line.
pub(super) struct Table<'a>(pub(super) &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| case | runs | took | sent | failed | causes | slowest | API requests |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for rounds in by_case(self.0) {
            let about = rounds.first().map(|row| row.about).unwrap_or_default();
            let took = rounds.iter().map(|row| row.total_ms).max().unwrap_or(0);
            let seconds = Duration::from_millis(took).as_secs_f64();
            let slowest = rounds.iter().map(|row| row.slowest_ms).max().unwrap_or(0);
            let Totals { sent, failed, causes, .. } = requests(rounds.iter().copied());
            let most = rounds.iter().map(|row| &row.api_requests);
            let most = most.max_by_key(|requests| requests.values().sum::<u64>());
            let total = most.map_or(0, |requests| requests.values().sum());
            writeln!(
                f,
                "| {about} | {} | {seconds:.1} s | {sent} | **{failed}** | {} | {slowest} ms | {total}: {} |",
                rounds.len(),
                list(&causes),
                most.map(list).unwrap_or_default(),
            )?;
        }
        let promised = self.0.iter().filter(|row| row.must_serve && row.rolls_out);
        let Totals { sent, failed, .. } = requests(promised);
        write!(f, "\nrequests in the cases of zdd with zdd-shutdown: {sent} sent, {failed} failed")
    }
}

/// Puts the rounds of each case together, in the order of the first round.
pub(super) fn by_case(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut cases: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        match cases.iter_mut().find(|rounds| rounds.iter().any(|other| other.case == row.case)) {
            Some(rounds) => rounds.push(row),
            None => cases.push(vec![row]),
        }
    }
    cases
}

fn requests<'a>(rows: impl Iterator<Item = &'a Row>) -> Totals {
    rows.map(|row| &row.requests).sum()
}

fn list<K: fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let parts: Vec<_> = counts.iter().map(|(key, count)| format!("{count} {key}")).collect();
    parts.join(", ")
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Row, Table, Tally};

    #[test]
    fn the_rounds_of_a_case_are_added_up() {
        let round = |rolls_out, answered, failed| {
            let answered = BTreeMap::from([("1".to_owned(), answered)]);
            Row { rolls_out, ..Row::example(vec![Tally { answered, failed }]) }
        };
        let text = Table(&[round(true, 500, 0), round(true, 490, 10)]).to_string();
        assert!(
            text.contains("| the load without a rollout | 2 | 1.2 s | 1000 | **10** |"),
            "{text}"
        );
        assert!(text.ends_with("1000 sent, 10 failed"), "{text}");
        // The load alone proves nothing of a rollout.
        let text = Table(&[round(true, 500, 0), round(false, 500, 0)]).to_string();
        assert!(text.ends_with("500 sent, 0 failed"), "{text}");
    }
}
