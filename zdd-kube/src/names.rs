//! Names: of what zdd leaves in a cluster, and of what controllers make.

use zdd_core::{Target, WorkloadKind};

/// The annotation on a workload that names the rollout which set its template.
pub(crate) const ROLLOUT_ANNOTATION: &str = "zdd.dev/rollout";
/// The label on a workload that keeps drivers with a lower epoch away.
pub(crate) const EPOCH_LABEL: &str = "zdd.dev/epoch";
/// The annotation that names the target on an object that zdd keeps for it.
pub(crate) const TARGET_ANNOTATION: &str = "zdd.dev/target";
/// The label that says who looks after an object.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The name under which zdd writes.
pub(crate) const MANAGER: &str = "zdd";

/// The longest name of a ConfigMap or Lease.
const LONGEST: usize = 253;
/// The letters of names that the API server and the controllers make up.
const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";
/// How many of them end a pod's name, and where what stands before them is cut off
/// (`MaxGeneratedNameLength` in k8s.io/apiserver/pkg/storage/names).
const MADE_UP: usize = 5;
const LONGEST_PREFIX: usize = 58;

/// Names the objects that zdd keeps for a target: `zdd-deployment-web`.
///
/// A name that would be too long ends in a hash of the whole.
pub(crate) fn kept_for(target: &Target) -> String {
    let kind = target.kind.to_string().to_lowercase();
    let name = format!("{MANAGER}-{kind}-{}", target.name);
    if name.len() <= LONGEST {
        return name;
    }
    let hash = format!("-{:016x}", fnv1a(&target.name));
    let mut end = LONGEST - hash.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{hash}", name[..end].trim_end_matches(['-', '.']))
}

/// Tells whether a pod that is gone was one of the target's, by how its controller names pods.
///
/// Endpoints may name a pod after it is gone. The name is then all there is to tell the target's
/// pods from those of another workload behind the same Service. Where a long name was cut it may
/// fit several workloads; then the pod counts as the target's, which waits for it at most.
pub(crate) fn is_pod_of(target: &Target, pod: &str) -> bool {
    if target.kind == WorkloadKind::StatefulSet {
        let ordinal = pod.strip_prefix(&target.name).and_then(|rest| rest.strip_prefix('-'));
        return ordinal.is_some_and(|ordinal| {
            !ordinal.is_empty() && ordinal.chars().all(|c| c.is_ascii_digit())
        });
    }
    let Some((prefix, suffix)) = pod.split_at_checked(pod.len().saturating_sub(MADE_UP)) else {
        return false;
    };
    let is_made_up = |part: &str| part.chars().all(|c| ALPHABET.contains(c));
    let whole = format!("{}-", target.name);
    if suffix.len() < MADE_UP || !is_made_up(suffix) {
        return false;
    }
    let Some(hash) = prefix.strip_prefix(&whole) else {
        return prefix.len() == LONGEST_PREFIX && whole.starts_with(prefix);
    };
    match target.kind {
        WorkloadKind::Deployment => match hash.strip_suffix('-') {
            Some(hash) => !hash.is_empty() && is_made_up(hash),
            // The end of the hash is cut off too.
            None => prefix.len() == LONGEST_PREFIX && is_made_up(hash),
        },
        WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => hash.is_empty(),
    }
}

/// A hash that is the same in every process and release; it names objects, so it must not change.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_the_limit_and_apart() {
        let short = kept_for(&Target::deployment("default", "web"));
        assert_eq!(short, "zdd-deployment-web");
        let long = |end: &str| Target::stateful_set("default", format!("{}{end}", "a".repeat(252)));
        let (one, other) = (kept_for(&long("b")), kept_for(&long("c")));
        assert_eq!(one.len(), LONGEST);
        assert_ne!(one, other);
    }

    #[test]
    fn pods_are_told_apart_by_name() {
        let web = Target::deployment("default", "web");
        assert!(is_pod_of(&web, "web-5d8f9c7b44-x2v7k"));
        for other in
            ["web-canary-5d8f9c7b44-x2v7k", "web-x2v7k", "web-0", "api-5d8f9c-x2v7k", "web"]
        {
            assert!(!is_pod_of(&web, other), "{other}");
        }
        let set = Target::stateful_set("default", "db");
        assert!(is_pod_of(&set, "db-12"));
        assert!(!is_pod_of(&set, "db-x2v7k"));
        let daemon = Target::daemon_set("default", "agent");
        assert!(is_pod_of(&daemon, "agent-x2v7k"));
        assert!(!is_pod_of(&daemon, "agent-5d8f9c7b44-x2v7k"));
        for odd in ["", "x2v7k", "-x2v7k", "ägent-x2v7k", "agent-x2vé"] {
            assert!(!is_pod_of(&daemon, odd), "{odd}");
        }
    }

    #[test]
    fn pods_of_long_names_are_known_by_what_is_left_of_them() {
        for length in 40..=63 {
            let name = "a".repeat(length);
            let pod = |before: &str| format!("{}x2v7k", &before[..before.len().min(58)]);
            let deployment = Target::deployment("default", &name);
            assert!(is_pod_of(&deployment, &pod(&format!("{name}-5d8f9c7b44-"))), "{length}");
            let daemon = Target::daemon_set("default", &name);
            assert!(is_pod_of(&daemon, &pod(&format!("{name}-"))), "{length}");
            let other = format!("b{}", &name[1..]);
            assert!(!is_pod_of(&deployment, &pod(&format!("{other}-5d8f9c7b44-"))), "{length}");
            assert!(!is_pod_of(&daemon, &pod(&format!("{other}-"))), "{length}");
        }
    }
}
