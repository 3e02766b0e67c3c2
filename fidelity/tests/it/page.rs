use zdd_fidelity::{catalogue, page};

#[test]
fn the_page_of_the_book_is_up_to_date() {
    let scripts = catalogue::scripts().unwrap();
    let differences = catalogue::differences(&scripts).unwrap();
    let page = std::fs::read_to_string(catalogue::page()).unwrap();
    let fresh = page::render(&scripts, &differences);
    assert!(page == fresh, "docs/src/fidelity.md is stale: run cargo xtask fidelity --page");
}

#[test]
fn there_are_at_least_a_hundred_scripts_and_all_are_recorded() {
    let scripts = catalogue::scripts().unwrap();
    assert!(scripts.len() >= 100, "{} scripts", scripts.len());
    let bare: Vec<_> =
        scripts.iter().filter(|script| !script.is_recorded()).map(|script| &script.name).collect();
    assert!(bare.is_empty(), "not recorded: {bare:?}");
}
