//! Spans of time as people read them: `5s`, `3m20s`, `7d`.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// Returns how long ago a time was (`translateTimestampSince`).
pub(super) fn age(since: &Value, now: Timestamp) -> String {
    let since = since.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    since.map_or_else(|| "<unknown>".to_owned(), |since| human(now.duration_since(since).as_secs()))
}

/// Returns the time between two times, if both are known.
pub(super) fn between(start: &Value, end: &Value) -> Option<String> {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    Some(human(time(end)?.duration_since(time(start)?).as_secs()))
}

/// Shows two units at most, and only one of long spans (`HumanDuration` of apimachinery).
pub(super) fn human(seconds: i64) -> String {
    let with = |whole: i64, unit: char, rest: i64, small: char| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{small}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => with(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => with(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => with(days, 'd', hours % 24, 'h'),
        () if days < 365 * 2 => format!("{days}d"),
        () if days < 365 * 8 => with(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_as_the_server_shows_them() {
        let all = [0, 119, 120, 125, 600, 10_799, 10_800, 10_860, 172_799, 172_800, 694_800];
        let shown: Vec<String> = all.iter().map(|seconds| human(*seconds)).collect();
        let expected = ["0s", "119s", "2m", "2m5s", "10m", "179m", "3h", "3h1m", "47h", "2d", "8d"];
        assert_eq!(shown, expected);
        assert_eq!(human(63_072_000 + 86_400), "2y1d");
    }
}
