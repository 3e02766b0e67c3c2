//! The table.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use zdd_load::Cause;

use super::{
    measure::Shutdown,
    peer::Ended,
    scenario::{Bar, Peer, Scenario},
};

/// One row: a scenario on one server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    scenario: &'static str,
    what: String,
    server: &'static str,
    shutdowns: usize,
    requests: u64,
    rps: u64,
    /// Median processor time of the server per request, in microseconds.
    cpu_us: Option<f64>,
    /// Median over the rounds of how much more that is than the baseline's in the same round, in percent.
    cpu_over_baseline: Option<f64>,
    #[serde(skip)]
    cpu_of_rounds: Vec<f64>,
    /// Median over the rounds of the 99th percentile of their latencies, in microseconds.
    p99_us: Option<f64>,
    lost: u64,
    lost_mean: f64,
    lost_max: u64,
    causes: BTreeMap<Cause, u64>,
    /// Requests that a handler completed and whose response did not arrive.
    unanswered: Option<u64>,
    hung: usize,
    exit_ms: Spread,
    exit_codes: BTreeMap<String, usize>,
    bar: String,
    /// Whether the bar was met; `None` for a peer, which has none.
    pub(crate) met: Option<bool>,
}

/// Exit times from SIGTERM, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    min: u64,
    median: u64,
    max: u64,
}

impl Row {
    /// Makes the row of one peer; `others` are the rows before it.
    pub(crate) fn of(
        scenario: &Scenario,
        peer: &Peer,
        results: &[Shutdown],
        others: &[Self],
    ) -> Self {
        let lost: u64 = results.iter().map(|one| one.lost).sum();
        let shutdowns = results.len();
        let mut causes = BTreeMap::new();
        for (cause, count) in results.iter().flat_map(|one| &one.causes) {
            *causes.entry(*cause).or_default() += count;
        }
        let mut exit_codes = BTreeMap::new();
        for one in results {
            *exit_codes.entry(one.exit.by.to_string()).or_default() += 1;
        }
        let mut row = Self {
            scenario: scenario.name,
            what: scenario.what.clone(),
            server: peer.name,
            shutdowns,
            requests: results.iter().map(|one| one.requests).sum(),
            rps: (results.iter().map(|one| one.rps).sum::<f64>() / shutdowns.max(1) as f64) as u64,
            cpu_us: median(results.iter().filter_map(|one| one.cpu).collect()),
            cpu_over_baseline: None,
            cpu_of_rounds: results.iter().filter_map(|one| one.cpu).collect(),
            p99_us: median(results.iter().filter_map(|one| one.p99).collect()),
            lost,
            lost_mean: lost as f64 / shutdowns.max(1) as f64,
            lost_max: results.iter().map(|one| one.lost).max().unwrap_or(0),
            causes,
            unanswered: results.iter().map(|one| one.unanswered).sum(),
            hung: results.iter().filter(|one| one.exit.by == Ended::Hung).count(),
            exit_ms: Spread::of(results.iter().map(|one| one.exit.after).collect()),
            exit_codes,
            bar: scenario.bar.text(),
            met: None,
        };
        if let Bar::CostWithin { baseline, .. } = scenario.bar {
            let mut same = others.iter().filter(|other| other.scenario == row.scenario);
            row.cpu_over_baseline = same
                .find(|other| other.server == baseline)
                .and_then(|base| row.over(&base.cpu_of_rounds));
        }
        let complete = shutdowns >= scenario.shutdowns_of(peer);
        row.met = (peer.ours && complete).then(|| shutdowns > 0 && row.meets(scenario.bar));
        row
    }

    pub(crate) fn name(&self) -> String {
        format!("{} on {}", self.server, self.scenario)
    }

    /// Compares round by round, since the machine's own speed drifts.
    fn over(&self, baseline: &[f64]) -> Option<f64> {
        let rounds = self.cpu_of_rounds.iter().zip(baseline);
        median(rounds.map(|(own, base)| (own / base - 1.0) * 100.0).collect())
    }

    fn cpu(&self) -> String {
        match (self.cpu_us, self.cpu_over_baseline) {
            (None, _) => "–".to_owned(),
            (Some(cpu), None) => format!("{cpu:.2}"),
            (Some(cpu), Some(over)) => format!("{cpu:.2} ({over:+.1} %)"),
        }
    }

    fn meets(&self, bar: Bar) -> bool {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.hung == 0
            && match bar {
                Bar::Lost(mean) => self.lost_mean <= mean,
                Bar::ExitWithin(limit) => self.exit_ms.max < millis(limit),
                Bar::ExitAt { deadline, tolerance } => {
                    self.exit_ms.min >= millis(deadline.saturating_sub(tolerance))
                        && self.exit_ms.max <= millis(deadline + tolerance)
                }
                Bar::CostWithin { percent, .. } => {
                    self.cpu_over_baseline.is_some_and(|over| over <= percent)
                }
            }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |index: usize| {
            times.get(index).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        };
        Self { min: at(0), median: at(times.len() / 2), max: at(times.len().saturating_sub(1)) }
    }
}

impl Bar {
    fn text(self) -> String {
        match self {
            Self::Lost(mean) => format!("lost <= {mean} per shutdown"),
            Self::ExitWithin(limit) => format!("exit < {limit:?}"),
            Self::ExitAt { deadline, tolerance } => {
                format!("exit at {deadline:?} +- {tolerance:?}")
            }
            Self::CostWithin { baseline, percent } => {
                format!("processor time within {percent} % of {baseline}")
            }
        }
    }
}

/// Prints the rows as a Markdown table, or as one JSON object.
pub(crate) fn print(rows: &[Row], command: &str, json: bool) -> anyhow::Result<()> {
    if json {
        println!(
            "{}",
            serde_json::to_string(&serde_json::json!({ "command": command, "rows": rows }))?
        );
        return Ok(());
    }
    println!("\n`{command}`\n");
    let mut last = "";
    for row in rows {
        if row.scenario != last {
            println!("\n**{}**: {} (bar: {})\n", row.scenario, row.what, row.bar);
            println!(
                "| server | shutdowns | requests | rps | µs each | p99 µs | lost | lost per shutdown | worst | causes | exit ms min/median/max | exit codes | bar |"
            );
            println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
            last = row.scenario;
        }
        let list =
            |pairs: Vec<String>| if pairs.is_empty() { "–".to_owned() } else { pairs.join(", ") };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.2} | {} | {} | {}/{}/{} | {} | {} |",
            row.server,
            row.shutdowns,
            row.requests,
            row.rps,
            row.cpu(),
            row.p99_us.map_or("–".to_owned(), |p99| format!("{p99:.0}")),
            row.lost,
            row.lost_mean,
            row.lost_max,
            list(row.causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect()),
            row.exit_ms.min,
            row.exit_ms.median,
            row.exit_ms.max,
            list(row.exit_codes.iter().map(|(code, count)| format!("{code}×{count}")).collect()),
            row.met.map_or("peer", |met| if met { "met" } else { "MISSED" }),
        );
    }
    Ok(())
}
