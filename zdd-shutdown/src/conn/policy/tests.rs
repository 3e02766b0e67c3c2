use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn idle() -> Facts {
    Facts {
        protocol: Protocol::Http1,
        in_flight: 0,
        awaiting_body: 0,
        responding: 0,
        served: 1,
        partial_head: false,
        read: 100,
        written: 100,
        write_blocked: false,
    }
}

fn http2() -> Facts {
    Facts { protocol: Protocol::Http2, ..idle() }
}

fn busy() -> Facts {
    Facts { in_flight: 1, ..idle() }
}

/// Sweep 1 s, slow client and PONG cap 5 s.
#[track_caller]
fn check(looks: &[(u64, Facts, Action)]) {
    check_with(Limits::default(), looks);
}

#[track_caller]
fn check_with(limits: Limits, looks: &[(u64, Facts, Action)]) {
    let mut watch = Watch::new(limits, 0);
    for (line, (at, facts, expected)) in looks.iter().enumerate() {
        assert_eq!(watch.look(MS(*at), *facts), *expected, "look {line} at {at} ms");
    }
}

use Action::{CloseIdle, GoAway, Wait};

#[test]
fn an_idle_http1_connection_is_closed_after_the_sweep() {
    check(&[(0, idle(), Wait), (999, idle(), Wait), (1_000, idle(), CloseIdle)]);
}

#[test]
fn a_request_that_came_and_went_between_two_looks_starts_the_sweep_again() {
    let again = Facts { served: 2, read: 200, written: 200, ..idle() };
    check(&[
        (0, idle(), Wait),
        (900, again, Wait),
        (1_800, again, Wait),
        (1_900, again, CloseIdle),
    ]);
}

#[test]
fn a_connection_that_waits_for_its_peer_is_never_closed_while_idle() {
    let limits = Limits { idle_close: IdleClose::WaitForPeer, ..Limits::default() };
    check_with(limits, &[(0, idle(), Wait), (60_000, idle(), Wait)]);
}

#[test]
fn a_head_that_trickles_is_cut_although_bytes_arrive() {
    let head = |read| Facts { partial_head: true, read, ..idle() };
    let mut looks: Vec<_> = (0..50).map(|i| (i * 100, head(100 + i), Wait)).collect();
    looks.push((5_000, head(150), Action::Cut(Cut::SlowHead)));
    check(&looks);
}

#[test]
fn a_body_that_trickles_is_waited_for_and_one_that_stalls_is_cut() {
    let body = |read| Facts { awaiting_body: 1, read, ..busy() };
    check(&[
        (0, body(100), Wait),
        (4_999, body(101), Wait),
        (9_998, body(102), Wait),
        (14_997, body(102), Wait),
        (14_998, body(102), Action::Cut(Cut::StalledBody)),
    ]);
}

#[test]
fn a_silent_bidirectional_stream_is_not_cut() {
    let stream = Facts { awaiting_body: 1, responding: 1, ..busy() };
    check(&[(0, stream, Wait), (3_600_000, stream, Wait)]);
}

#[test]
fn a_handler_that_works_is_never_cut() {
    check(&[(0, busy(), Wait), (3_600_000, busy(), Wait)]);
}

#[test]
fn one_stream_that_works_protects_the_others() {
    let facts = Facts { in_flight: 2, awaiting_body: 1, ..http2() };
    check(&[(0, facts, GoAway), (3_600_000, facts, Wait)]);
}

#[test]
fn a_reader_that_stalls_is_cut_and_a_slow_one_is_not() {
    let reader = |written| Facts { write_blocked: true, written, ..busy() };
    check(&[
        (0, reader(100), Wait),
        (4_000, reader(200), Wait),
        (8_999, reader(200), Wait),
        (9_000, reader(200), Action::Cut(Cut::StalledReader)),
    ]);
}

#[test]
fn a_response_on_its_way_out_keeps_the_connection_open() {
    let flushing = |written| Facts { write_blocked: true, written, ..idle() };
    check(&[(0, flushing(100), Wait), (3_000, flushing(200), Wait), (6_000, flushing(300), Wait)]);
}

#[test]
fn a_silent_http2_client_is_cut_after_the_pong_cap() {
    check(&[
        (0, http2(), GoAway),
        (4_999, http2(), Wait),
        (5_000, http2(), Action::Cut(Cut::NoPong)),
    ]);
}

#[test]
fn a_running_stream_is_waited_for_before_the_pong_counts() {
    let stream = Facts { in_flight: 1, ..http2() };
    let done = Facts { served: 2, ..http2() };
    check(&[
        (0, stream, GoAway),
        (20_000, stream, Wait),
        (20_100, done, Wait),
        (25_099, done, Wait),
        (25_100, done, Action::Cut(Cut::NoPong)),
    ]);
}

#[test]
fn goaways_are_spread_over_the_sweep() {
    let times: Vec<_> = (0..1_000).map(|number| jitter(number, MS(1_000))).collect();
    for tenth in 0..10 {
        let range = MS(tenth * 100)..MS(tenth * 100 + 100);
        let inside = times.iter().filter(|at| range.contains(at)).count();
        assert!((90..=110).contains(&inside), "{inside} of 1000 in tenth {tenth}");
    }
}
