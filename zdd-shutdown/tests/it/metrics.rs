//! What a recorder of the `metrics` crate gets to see.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use zdd_shutdown::{Phase, Reason};

use crate::{
    raw::{Client, until, within},
    site::{Site, quick},
};

/// Keeps the last value of everything.
#[derive(Default)]
struct Values {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    described: Mutex<Vec<String>>,
}

impl Values {
    fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.gauges.lock().unwrap()[name].load(Relaxed))
    }

    fn counter(&self, name: &str) -> u64 {
        self.counters.lock().unwrap()[name].load(Relaxed)
    }

    async fn reaches(&self, name: &str, value: f64) {
        until(|| self.gauge(name) == value).await;
    }
}

impl Recorder for Values {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(name.as_str().to_owned());
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(name.as_str().to_owned());
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        unreachable!("there is none")
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock().unwrap();
        Counter::from_arc(Arc::clone(counters.entry(key.name().to_owned()).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock().unwrap();
        Gauge::from_arc(Arc::clone(gauges.entry(key.name().to_owned()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        unreachable!("there is none")
    }
}

#[tokio::test]
async fn gauges_follow_the_process_and_counters_end_as_the_report_does() {
    let site = Site::start(quick()).await;
    let values = Values::default();
    metrics::with_local_recorder(&values, || site.handle.publish_metrics().unwrap());
    assert_eq!(values.gauge("zdd_shutdown_phase"), f64::from(Phase::Serving as u8));
    assert_eq!(values.gauge("zdd_shutdown_in_flight_requests"), 0.0);

    let mut idle = Client::connect(site.address).await;
    idle.get("/").await.unwrap();
    let mut busy = Client::connect(site.address).await;
    busy.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    within(site.entered.notified()).await;
    let guard = site.handle.guard();
    // Nothing but the passing time publishes them.
    values.reaches("zdd_shutdown_in_flight_requests", 1.0).await;
    values.reaches("zdd_shutdown_open_connections", 2.0).await;
    values.reaches("zdd_shutdown_guards", 1.0).await;
    assert_eq!(values.counter("zdd_shutdown_finished_requests_total"), 0);

    assert!(site.handle.trigger(Reason::Completed));
    values.reaches("zdd_shutdown_phase", f64::from(Phase::Draining as u8)).await;
    idle.closed().await.unwrap();
    drop(guard);
    let handle = site.handle.clone();
    let report = site.finish().await;
    assert_eq!(handle.phase(), report.end);
    values.reaches("zdd_shutdown_phase", f64::from(report.end as u8)).await;
    let counted = |name: &str| values.counter(&format!("zdd_shutdown_{name}_total"));
    assert_eq!((report.finished, report.abandoned, report.connections.aborted), (1, 1, 1));
    assert_eq!(counted("finished_requests"), report.finished);
    assert_eq!(counted("abandoned_requests"), report.abandoned);
    assert_eq!(counted("refused_requests"), report.refused);
    assert_eq!(counted("closed_connections"), report.connections.closed);
    assert_eq!(counted("cut_connections"), report.connections.cut);
    assert_eq!(counted("aborted_connections"), report.connections.aborted);
    assert_eq!(counted("rescued_connections"), report.connections.rescued);
    let registered = values.counters.lock().unwrap().len() + values.gauges.lock().unwrap().len();
    assert_eq!((values.described.lock().unwrap().len(), registered), (11, 11));
}

#[tokio::test]
async fn only_the_first_call_publishes() {
    let site = Site::start(quick()).await;
    let (first, second) = (Values::default(), Values::default());
    metrics::with_local_recorder(&first, || site.handle.publish_metrics().unwrap());
    metrics::with_local_recorder(&second, || site.handle.publish_metrics().unwrap());
    assert_eq!(first.gauges.lock().unwrap().len(), 4);
    assert!(second.gauges.lock().unwrap().is_empty());
}
