use std::fmt::Write;

use zdd_fidelity::{catalogue, difference, side};

#[test]
fn zdd_sim_answers_as_the_real_control_plane_did() {
    let scripts = catalogue::scripts().unwrap();
    let known = catalogue::differences(&scripts).unwrap();
    let mut wrong = String::new();
    for script in &scripts {
        let difference = difference(script, &side::sim(script).unwrap());
        match (difference.is_empty(), known.contains_key(&script.name)) {
            (false, false) => writeln!(wrong, "{}\n{difference}", script.name).unwrap(),
            (true, true) => {
                writeln!(wrong, "{} differs no more: remove it from the list", script.name)
                    .unwrap();
            }
            (true, false) | (false, true) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_record_that_was_changed_by_hand_is_noticed() {
    let mut script = catalogue::scripts().unwrap().swap_remove(0);
    let record = &mut script.steps[0].record;
    record[0] = "418 I'm a teapot".to_owned();
    let difference = difference(&script, &side::sim(&script).unwrap());
    assert!(difference.contains("- 418 I'm a teapot\n"), "{difference}");
}
