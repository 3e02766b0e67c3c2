//! Complete rolling updates in virtual time: driver, API, controllers, pods and load.
//!
//! `cargo bench -p zdd-testkit` prints the rate on one thread and on two.

use divan::counter::ItemsCount;
use zdd_strategies::{Rolling, RollingConfig};
use zdd_testkit::Scenario;

fn main() {
    divan::main();
}

/// A Deployment of six pods, two of surge, from creation to promotion.
#[divan::bench(threads = [1, 2])]
fn rolling_update_of_six_pods(bencher: divan::Bencher<'_, '_>) {
    let strategy = || Rolling::new(RollingConfig::default().max_surge(2)).expect("two is a surge");
    let scenario = Scenario::new("bench", strategy).replicas(6);
    bencher.counter(ItemsCount::new(1_u32)).bench(|| {
        let observed = scenario.reference();
        assert!(observed.violations.is_empty());
        observed
    });
}
