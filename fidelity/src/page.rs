//! The page of the book.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::catalogue::Differences;
use crate::script::Script;

const HEAD: &str = "\
<!-- Written by `cargo xtask fidelity --page`; do not edit. -->

# What zdd-sim does is what Kubernetes does

The simulation proves something about Kubernetes only as far as the embedded cluster behaves like one.
So the same scripts of API requests are played against zdd-sim and against a real control plane,
etcd with kube-apiserver and kube-controller-manager 1.37.1, and what can be observed is compared:
codes, messages and bodies, end states, conditions, the order of watch events.
What is free to differ (uids, resourceVersions, times, hashes, random parts of names, addresses) is named by its first appearance, so that identity is still compared.
Left out are the orders of conditions and of what has random names, managed fields unless a script asks for them, and the descriptions of a table's columns.

Each script is a file below [`fidelity/scripts`](https://github.com/zdd-rs/zdd/tree/main/fidelity/scripts) that holds the requests and, below each, what the real control plane answered.
No kubelet and no scheduler run on either side; the scripts play both.

```console
cargo test -p zdd-fidelity                          # zdd-sim against what was recorded, on any machine
cargo xtask fidelity --kubeconfig FILE              # both, against a control plane that runs
cargo xtask fidelity --kubeconfig FILE --record NAME  # three runs that agree become the record
```
";

/// Writes the page.
#[must_use]
pub fn render(scripts: &[Script], differences: &Differences) -> String {
    let mut groups: BTreeMap<&str, Vec<&Script>> = BTreeMap::new();
    for script in scripts {
        groups.entry(script.name.split('/').next().unwrap_or_default()).or_default().push(script);
    }
    let mut text = HEAD.to_owned();
    let differing = scripts.iter().filter(|script| differences.contains_key(&script.name)).count();
    let (total, equal) = (scripts.len(), scripts.len() - differing);
    let _ = write!(text, "\n{total} scripts: {equal} equal, {differing} different for a reason.\n");
    let _ = write!(text, "\n## Differences\n\n");
    for (name, reason) in differences {
        let _ = writeln!(text, "- `{name}`: {}", reason.trim());
    }
    if differences.is_empty() {
        text += "None is known.\n";
    }
    for (group, scripts) in groups {
        let _ =
            write!(text, "\n## {group}\n\n| what is shown | steps | zdd-sim |\n|---|---|---|\n");
        for script in scripts {
            let same = !differences.contains_key(&script.name);
            let result = if same { "equal" } else { "differs" };
            let fact = script.fact.replace('|', "\\|");
            let _ = writeln!(text, "| {fact} | {} | {result} |", script.steps.len());
        }
    }
    text
}
