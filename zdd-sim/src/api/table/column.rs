//! One column of a table.

use std::borrow::Cow;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::duration::age;
use super::path::JsonPath;

/// What a cell is made of.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) object: &'a Value,
    pub(crate) now: Timestamp,
}

/// One column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    name: Cow<'static, str>,
    kind: Cow<'static, str>,
    format: Cow<'static, str>,
    description: Cow<'static, str>,
    /// Columns above 0 are shown in wide output only.
    priority: i64,
    source: Source,
}

/// Where a column's cells come from.
#[derive(Clone, Debug)]
enum Source {
    Function(fn(&Row<'_>) -> Value),
    Path(JsonPath),
}

impl Column {
    const fn new(name: &'static str, kind: &'static str, source: fn(&Row<'_>) -> Value) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind: Cow::Borrowed(kind),
            format: Cow::Borrowed(""),
            description: Cow::Borrowed(""),
            priority: 0,
            source: Source::Function(source),
        }
    }

    pub(super) const fn text(name: &'static str, source: fn(&Row<'_>) -> Value) -> Self {
        Self::new(name, "string", source)
    }

    pub(super) const fn number(name: &'static str, source: fn(&Row<'_>) -> Value) -> Self {
        Self::new(name, "integer", source)
    }

    pub(super) fn name() -> Self {
        let column = Self::text("Name", |row| row.object["metadata"]["name"].clone());
        Self { format: Cow::Borrowed("name"), ..column }
    }

    pub(super) fn age() -> Self {
        Self::text("Age", |row| age(&row.object["metadata"]["creationTimestamp"], row.now).into())
    }

    pub(super) fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }

    /// Reads a column of a CustomResourceDefinition; `None` when its path is not one.
    pub(crate) fn custom(definition: &Value) -> Option<Self> {
        let text = |key: &str| definition[key].as_str().unwrap_or_default().to_owned();
        Some(Self {
            name: text("name").into(),
            kind: text("type").into(),
            format: text("format").into(),
            description: match definition["description"].as_str() {
                Some(text) => text.to_owned().into(),
                None => format!(
                    "Custom resource definition column (in JSONPath format): {}",
                    text("jsonPath")
                )
                .into(),
            },
            priority: definition["priority"].as_i64().unwrap_or_default(),
            source: Source::Path(JsonPath::parse(definition["jsonPath"].as_str()?)?),
        })
    }

    pub(super) fn cell(&self, row: &Row<'_>) -> Value {
        match &self.source {
            Source::Function(function) => function(row),
            Source::Path(path) => match (path.find(row.object).as_slice(), &*self.kind) {
                ([], _) => Value::Null,
                ([one], "date") => age(one, row.now).into(),
                ([one], "boolean" | "integer" | "number") => (*one).clone(),
                ([one], _) => shown(one).into(),
                // Several results are one text, whatever the type says.
                (more, _) => more.iter().map(|it| shown(it)).collect::<Vec<_>>().join(",").into(),
            },
        }
    }

    pub(super) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
