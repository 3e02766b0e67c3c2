//! What the API server wrote down about one user.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde_json::Value;

/// A request that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) code: u64,
}

/// A verb on a resource: what a role grants.
pub(crate) type Use = (String, String, String);

/// Reads what a user asked for, itself or through somebody who spoke in its name.
pub(crate) fn entries(log: &Path, user: &str) -> Vec<Entry> {
    let text = std::fs::read_to_string(log).unwrap();
    // The last line may still be being written.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_user = lines.filter(|line| line["impersonatedUser"]["username"] == user);
    of_user
        .map(|line| {
            let object = &line["objectRef"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let resource = match object["subresource"].as_str() {
                Some(sub) => format!("{}/{sub}", text(&object["resource"])),
                None => text(&object["resource"]),
            };
            Entry {
                verb: text(&line["verb"]),
                group: text(&object["apiGroup"]),
                resource,
                code: line["responseStatus"]["code"].as_u64().unwrap_or_default(),
            }
        })
        .collect()
}

impl Entry {
    pub(crate) fn usage(&self) -> Use {
        (self.group.clone(), self.resource.clone(), self.verb.clone())
    }

    pub(crate) fn is_write(&self) -> bool {
        // To ask what one may do is a creation of a question.
        let writes = ["create", "update", "patch", "delete"].contains(&&*self.verb);
        writes && self.group != "authorization.k8s.io"
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.verb, self.resource, self.code)
    }
}

pub(crate) fn uses(entries: &[Entry]) -> BTreeSet<Use> {
    entries.iter().map(Entry::usage).collect()
}
