//! The rolling update of a DaemonSet (pkg/controller/daemon/update.go).

use std::sync::Arc;

use serde_json::Value;

use super::{Node, Work};
use crate::controller::context::Context;
use crate::controller::meta::{Round, int_or_percent};
use crate::controller::pods::has_ended;
use crate::object::Object;

impl Work {
    pub(super) fn roll(&mut self, ctx: &mut Context<'_>) {
        let (surge, unavailable) = self.limits();
        let (create, delete) = if surge > 0 {
            self.plan_surge(ctx, surge)
        } else {
            (Vec::new(), self.plan_replacement(ctx, unavailable))
        };
        self.carry_out(ctx, create, delete);
    }

    /// Returns `maxSurge` and `maxUnavailable`, resolved against the number of nodes.
    pub(super) fn limits(&self) -> (usize, usize) {
        let desired = self.nodes.values().filter(|node| node.should_run).count();
        let desired = i64::try_from(desired).unwrap_or(i64::MAX);
        let rolling = &self.set["spec"]["updateStrategy"]["rollingUpdate"];
        let read = |key: &str, default: i64| {
            let number = int_or_percent(&rolling[key], desired, Round::Up).unwrap_or(default);
            usize::try_from(number).unwrap_or_default()
        };
        let surge = read("maxSurge", 0);
        let unavailable = read("maxUnavailable", 1);
        (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
    }

    /// Without surge: old pods go first where they are not available anyway, then as many others
    /// as may be unavailable.
    fn plan_replacement(&self, ctx: &Context<'_>, limit: usize) -> Vec<Arc<Value>> {
        let mut unavailable = 0;
        let (mut allowed, mut candidates) = (Vec::new(), Vec::new());
        for node in self.nodes.values().filter(|node| node.should_run) {
            match self.pair(node) {
                (None, None) | (Some(_), Some(_)) => unavailable += 1,
                (Some(new), None) => unavailable += usize::from(!self.is_available(ctx, new)),
                (None, Some(old)) if !self.is_available(ctx, old) => {
                    unavailable += 1;
                    allowed.push(Arc::clone(old));
                }
                (None, Some(old)) => candidates.push(Arc::clone(old)),
            }
        }
        let room = limit.saturating_sub(unavailable);
        allowed.extend(candidates.into_iter().take(room));
        allowed
    }

    /// With surge: new pods come first, and an old pod goes when its new one is available.
    fn plan_surge(&self, ctx: &Context<'_>, limit: usize) -> (Vec<String>, Vec<Arc<Value>>) {
        let mut surging = 0;
        let (mut allowed, mut candidates, mut delete) = (Vec::new(), Vec::new(), Vec::new());
        for (name, node) in self.nodes.iter().filter(|(_, node)| node.should_run) {
            match self.pair(node) {
                (_, None) => {}
                (None, Some(old)) if !self.is_available(ctx, old) => allowed.push(name.clone()),
                (None, Some(_)) => candidates.push(name.clone()),
                (Some(new), Some(old)) => {
                    if !self.is_available(ctx, old) || self.is_available(ctx, new) {
                        delete.push(Arc::clone(old));
                    } else {
                        surging += 1;
                    }
                }
            }
        }
        let room = limit.saturating_sub(surging);
        allowed.extend(candidates.into_iter().take(room));
        (allowed, delete)
    }

    /// Returns the new and the old pod of a node, without those that end.
    fn pair<'a>(&self, node: &'a Node) -> (Option<&'a Arc<Value>>, Option<&'a Arc<Value>>) {
        let alive = || node.pods.iter().filter(|pod| !pod.is_terminating() && !has_ended(pod));
        let new = alive().find(|pod| self.is_new(pod));
        let old = alive().find(|pod| !self.is_new(pod));
        (new, old)
    }
}
