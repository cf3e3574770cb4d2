//! What the guide claims is shown by the tests it names.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn every_link_of_the_guide_leads_to_what_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("docs/guide");
    let mut links = 0;
    for page in std::fs::read_dir(&folder).unwrap() {
        let page = page.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") || link.starts_with('#') {
                continue;
            }
            let (file, name) = link.split_once('#').unwrap_or((link, ""));
            let target = folder.join(file);
            assert!(target.exists(), "{}: {link} is not there", page.display());
            if name.is_empty() {
                continue;
            }
            let source = std::fs::read_to_string(&target).unwrap();
            let named = match target.extension().and_then(|end| end.to_str()) {
                Some("rs") => source.contains(&format!("#[test]\nfn {name}(")) || source.contains(&format!("fn {name}() {{")),
                Some("ps1") => source.contains(&format!("It '{}'", name.replace('-', " "))),
                _ => panic!("{link}"),
            };
            assert!(named, "{}: {file} has no test {name}", page.display());
            links += 1;
        }
    }
    assert!(links > 40, "only {links} links to tests");
}
