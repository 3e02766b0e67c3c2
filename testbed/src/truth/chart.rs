//! A picture of the cases: who answered, and what failed, as time goes by.

use std::time::Duration;

use svg::Document;
use svg::node::element::path::Data;
use svg::node::element::{Group, Line, Path, Rectangle, Text, Title};

use super::table::{Row, by_case};
use super::timeline::{SPAN, Tally};

/// Everything is in units of the picture, which is shown as wide as its page.
const WIDTH: f64 = 960.0;
const MARGIN: f64 = 16.0;
const TOP: f64 = 40.0;
/// The words above the curve of a case.
const CAPTION: f64 = 24.0;
/// The curve of a case.
const HEIGHT: f64 = 44.0;
const GAP: f64 = 18.0;
const AXIS: f64 = 28.0;
/// A single failed request has to be seen.
const LEAST: f64 = 4.0;
/// Seconds between the lines of the grid.
const TICK: u32 = 10;

/// The version that every case begins with.
const FIRST: &str = "1";

const OLD: &str = "#8fb1d9";
const NEW: &str = "#3c78b4";
const FAILED: &str = "#d62728";
const SERVED: &str = "#2f7d3b";
const INK: &str = "#24292f";
const FAINT: &str = "#c9ced6";

/// Draws the cases below each other, along one axis of time; of several rounds the worst.
pub(super) fn draw(rows: &[Row]) -> Document {
    let rows: Vec<&Row> = by_case(rows)
        .into_iter()
        // The last of equals wins, and the first round is to.
        .filter_map(|rounds| rounds.into_iter().rev().max_by_key(|row| row.requests.failed))
        .collect();
    let longest = rows.iter().map(|row| row.timeline.len()).max().unwrap_or(0);
    let seconds = (SPAN.as_secs_f64() * f64_of(longest)).max(1.0);
    let scale = (WIDTH - 2.0 * MARGIN) / seconds;
    let case = CAPTION + HEIGHT + GAP;
    let bottom = TOP + case * f64_of(rows.len());
    let height = bottom + AXIS;
    let mut document = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("font-family", "system-ui, sans-serif")
        .set("font-size", 13)
        .set("role", "img")
        .add(Title::new("Requests answered and failed during rollouts"))
        .add(Rectangle::new().set("width", WIDTH).set("height", height).set("fill", "#ffffff"))
        .add(legend())
        .add(axis(seconds, scale, bottom));
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + case * f64_of(index);
        let place = format!("translate({MARGIN} {y})");
        document = document.add(strip(row, scale).set("transform", place));
    }
    document
}

/// Says what the colours mean.
fn legend() -> Group {
    let entries =
        [(OLD, "version 1 answered"), (NEW, "another version answered"), (FAILED, "failed")];
    let mut group = Group::new();
    for (index, (colour, words)) in entries.into_iter().enumerate() {
        let x = MARGIN + 200.0 * f64_of(index);
        let swatch = Rectangle::new().set("x", x).set("y", 12).set("width", 12).set("height", 12);
        group = group.add(swatch.set("fill", colour)).add(text(words, x + 18.0, 23.0));
    }
    group
}

/// Draws the lines of the grid, with their seconds below.
fn axis(seconds: f64, scale: f64, bottom: f64) -> Group {
    let mut group = Group::new();
    let mut tick = 0;
    while f64::from(tick) <= seconds {
        let x = MARGIN + f64::from(tick) * scale;
        group = group
            .add(line(x, TOP, bottom).set("stroke", FAINT).set("stroke-width", 0.5))
            .add(text(&format!("{tick} s"), x, bottom + 16.0).set("fill", INK));
        tick += TICK;
    }
    group
}

/// Draws one case, from its own upper left corner on.
fn strip(row: &Row, scale: f64) -> Group {
    let most = row.timeline.iter().map(Tally::total).max().unwrap_or(0).max(1);
    let lift = HEIGHT / f64_of(most);
    let floor = CAPTION + HEIGHT;
    let first = |tally: &Tally| tally.answered.get(FIRST).copied().unwrap_or(0);
    let old = row.timeline.iter().map(|tally| f64_of(first(tally)) * lift);
    let both = row.timeline.iter().map(|tally| f64_of(tally.answers()) * lift);
    let took = Duration::from_millis(row.total_ms).as_secs_f64() * scale;
    let (sent, failed) = (row.requests.sent, row.requests.failed);
    let colour = if failed == 0 { SERVED } else { FAILED };
    let verdict = text(&format!("{failed} of {sent} failed"), WIDTH - 2.0 * MARGIN, 16.0)
        .set("text-anchor", "end")
        .set("font-weight", "bold")
        .set("fill", colour);
    let mut group = Group::new()
        .add(text(row.about, 0.0, 16.0).set("fill", INK))
        .add(verdict)
        .add(area(both, scale, floor).set("fill", NEW))
        .add(area(old, scale, floor).set("fill", OLD));
    for (index, tally) in row.timeline.iter().enumerate().filter(|(_, tally)| tally.failed > 0) {
        let height = (f64_of(tally.failed) * lift).max(LEAST);
        let bar = Rectangle::new()
            .set("x", f64_of(index) * SPAN.as_secs_f64() * scale)
            .set("y", floor - HEIGHT)
            .set("width", SPAN.as_secs_f64() * scale)
            .set("height", height);
        group = group.add(bar.set("fill", FAILED));
    }
    let end = line(took, CAPTION, floor).set("stroke", INK).set("stroke-dasharray", "2 2");
    group.add(end.add(Title::new("the tool said that the rollout had ended")))
}

/// Draws a step for each height, from the floor up.
fn area(heights: impl Iterator<Item = f64>, scale: f64, floor: f64) -> Path {
    let step = SPAN.as_secs_f64() * scale;
    let mut data = Data::new().move_to((0.0, floor));
    for (height, number) in heights.zip(1_u32..) {
        let right = round(step * f64::from(number));
        data = data.vertical_line_to(round(floor - height)).horizontal_line_to(right);
    }
    Path::new().set("d", data.vertical_line_to(floor).close())
}

fn line(x: f64, from: f64, to: f64) -> Line {
    Line::new().set("x1", x).set("x2", x).set("y1", from).set("y2", to)
}

fn text(words: &str, x: f64, y: f64) -> Text {
    Text::new(words).set("x", x).set("y", y)
}

/// A tenth of a unit is finer than any screen.
fn round(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

fn f64_of(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::draw;
    use crate::truth::table::Row;
    use crate::truth::timeline::Tally;

    fn tally(old: u64, new: u64, failed: u64) -> Tally {
        let answered = BTreeMap::from([("1".to_owned(), old), ("2".to_owned(), new)]);
        Tally { answered, failed }
    }

    #[test]
    fn of_several_rounds_the_worst_is_drawn() {
        let rounds = [vec![tally(500, 0, 0)], vec![tally(490, 0, 10)], vec![tally(499, 0, 1)]];
        let picture = draw(&rounds.map(Row::example)).to_string();
        assert!(picture.contains("10 of 500 failed"), "{picture}");
        assert_eq!(picture.matches("of 500 failed").count(), 1, "{picture}");
    }

    #[test]
    fn a_case_shows_who_answered_what_failed_and_when_it_ended() {
        let row = Row::example(vec![tally(500, 0, 0), tally(240, 250, 10), tally(0, 500, 0)]);
        let picture = draw(&[row]).to_string();
        assert!(picture.contains("10 of 1500 failed"), "{picture}");
        let is_red = |line: &&str| line.starts_with("<rect") && line.contains(super::FAILED);
        assert_eq!(picture.lines().filter(is_red).count(), 2, "legend and one bar: {picture}");
        assert!(picture.contains("stroke-dasharray"), "{picture}");
    }
}
