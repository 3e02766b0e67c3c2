//! The part of JSONPath that columns of custom resources use.

use serde_json::Value;

/// A path into an object: `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct JsonPath(Vec<Segment>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Segment {
    All,
    Field(String),
    Index(usize),
    Where { field: Vec<String>, value: String },
}

impl JsonPath {
    /// Returns `None` for text that is not such a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut segments = Vec::new();
        let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}');
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let end = close(inner)?;
                segments.push(bracket(inner.get(..end)?.trim())?);
                rest = inner.get(end + 1..)?;
            } else {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                let (name, after) = field(name)?;
                segments.push(if name == "*" { Segment::All } else { Segment::Field(name) });
                rest = after;
            }
        }
        Some(Self(segments))
    }

    /// Returns all that the path leads to.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for segment in &self.0 {
            found = found.into_iter().flat_map(|value| segment.step(value)).collect();
        }
        found.retain(|value| !value.is_null());
        found
    }
}

impl Segment {
    fn step<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let items = || value.as_array().into_iter().flatten();
        match self {
            Self::All => match value {
                Value::Object(map) => map.values().collect(),
                Value::Array(items) => items.iter().collect(),
                Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => Vec::new(),
            },
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(at) => value.get(*at).into_iter().collect(),
            Self::Where { field, value: wanted } => items()
                .filter(|item| {
                    let found = field.iter().try_fold(*item, |value, name| value.get(name));
                    found.is_some_and(|found| match found.as_str() {
                        Some(text) => text == wanted,
                        None => {
                            serde_json::from_str(wanted).is_ok_and(|wanted: Value| wanted == *found)
                        }
                    })
                })
                .collect(),
        }
    }
}

/// Returns where the bracket ends that is open, past brackets in quotes.
fn close(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Segment> {
    if text == "*" {
        return Some(Segment::All);
    }
    if let Ok(at) = text.parse() {
        return Some(Segment::Index(at));
    }
    if let Some(condition) = text.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        let (left, right) = condition.split_once("==")?;
        let path = left.trim().strip_prefix("@.")?;
        let field = path.split('.').map(str::to_owned).collect();
        return Some(Segment::Where { field, value: unquoted(right.trim()).to_owned() });
    }
    let name = unquoted(text);
    (name != text).then(|| Segment::Field(name.to_owned()))
}

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// Reads a name up to the next dot or bracket; a backslash takes the next letter as it is.
fn field(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '.' | '[' if !name.is_empty() => return Some((name, text.get(at..)?)),
            '.' | '[' => return None,
            '\\' => name.push(letters.next()?.1),
            letter => name.push(letter),
        }
    }
    (!name.is_empty()).then_some((name, ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &Value) {
        let object = json!({
            "metadata": { "annotations": { "a.b/c": "dotted" } },
            "spec": { "hosts": ["one", "two"] },
            "status": { "conditions": [
                { "type": "Ready", "status": "True" },
                { "type": "Synced", "status": "False" },
            ] },
        });
        let path = JsonPath::parse(path).unwrap();
        assert_eq!(json!(path.find(&object)), *expected);
    }

    #[test]
    fn paths_lead_where_the_server_goes() {
        check(".status.conditions[?(@.type==\"Ready\")].status", &json!(["True"]));
        check(".status.conditions[?(@.type=='Synced')].status", &json!(["False"]));
        check(".metadata.annotations.a\\.b/c", &json!(["dotted"]));
        check(".metadata.annotations['a.b/c']", &json!(["dotted"]));
        check(".spec.hosts[1]", &json!(["two"]));
        check(".spec.hosts[*]", &json!(["one", "two"]));
        check(".spec.none", &json!([]));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [".spec[", ".a..b", "[x]"] {
            assert_eq!(JsonPath::parse(text), None, "{text}");
        }
    }
}
