//! What the guide claims is shown by the tests it names.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use defender_xdr::defender::services::operations;

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
                Some("rs") => is_test(&source, name),
                Some("ps1") => source.contains(&format!("It '{}'", name.replace('-', " "))),
                _ => panic!("{link}"),
            };
            assert!(named, "{}: {file} has no test {name}", page.display());
            links += 1;
        }
    }
    assert!(links > 40, "only {links} links to tests");
}

/// True if a file of Rust has a test of this name, and one that runs whenever tests do.
fn is_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("\nfn {name}()")) else {
        return false;
    };
    let attributes: Vec<&str> = before.lines().rev().take_while(|line| line.starts_with("#[")).collect();
    attributes.contains(&"#[test]") && !attributes.iter().any(|attribute| attribute.starts_with("#[ignore"))
}

#[test]
fn every_yes_of_ours_in_the_comparison_names_its_test() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/signing-in.md")).unwrap();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with("Compared with others\n"))
        .unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" |").map(str::trim).collect())
        .collect();
    let columns = rows.first().unwrap().len();
    let mut claims = 0;
    for row in rows
        .iter()
        .filter(|row| !row[0].starts_with("**") && !row[0].is_empty() && !row[0].starts_with("---"))
    {
        assert_eq!(row.len(), columns, "{row:?}");
        let ours = row[1];
        if ours == "no" {
            continue;
        }
        // What is more than no is a claim. That the test exists is seen above.
        let link = ours
            .split_once("](")
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(link, _)| link);
        let named = link
            .and_then(|link| link.split_once('#'))
            .is_some_and(|(file, name)| file.starts_with("../../tests/") && !name.is_empty());
        assert!(named, "{}: \"{ours}\" names no test", row[0]);
        claims += 1;
    }
    assert!(claims > 40, "only {claims} rows claim something");
}

#[test]
fn the_table_of_permissions_is_the_librarys() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/guide/defender-data.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Permissions\n")).unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let quoted = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(String::from).collect() };
    // Which commands make an operation's calls: words of the row's first cell, and the service.
    let commands = |operation: &str| match operation {
        "incidents.list" | "incidents.get" | "graph.incidents.list" | "graph.incidents.get" => "Get-DefenderIncident",
        "incidents.update" | "graph.incidents.update" | "graph.incidents.comment" => "Set-DefenderIncident",
        "hunting.run" => "Invoke-DefenderHunting",
        "hunting.run_xdr" => "Invoke-DefenderHunting -Backend Xdr",
        "hunting.run_endpoint" => "Invoke-DefenderHunting -Backend Endpoint",
        "alerts.list" | "alerts.get" => "Get-DefenderAlert",
        "alerts.update" | "alerts.batch_update" => "Set-DefenderAlert",
        "machines.list" | "machines.get" => "Get-DefenderMachine",
        "machine_actions.list" | "machine_actions.get" => "Get-DefenderMachineAction",
        "machines.tag" => "Add-DefenderMachineTag",
        "machines.isolate" => "Enable-DefenderMachineIsolation",
        "machines.release" => "Disable-DefenderMachineIsolation",
        "machines.restrict" => "Enable-DefenderMachineRestriction",
        "machines.unrestrict" => "Disable-DefenderMachineRestriction",
        "machines.scan" => "Start-DefenderMachineScan",
        "machines.quarantine" => "Start-DefenderFileQuarantine",
        "machine_actions.cancel" => "Stop-DefenderMachineAction",
        "indicators.list" => "Get-DefenderIndicator",
        "indicators.submit" => "Add-DefenderIndicator",
        "indicators.import" => "Import-DefenderIndicator",
        "indicators.delete" => "Remove-DefenderIndicator",
        other => panic!("the operation {other} stands in no row of the table: name its command here and its permissions there"),
    };
    let mut known = BTreeSet::new();
    for operation in operations::ALL {
        let row = rows
            .iter()
            .find(|row| {
                quoted(row[0]).iter().any(|name| name == commands(operation.name)) && row[1].eq_ignore_ascii_case(operation.service.key)
            })
            .unwrap_or_else(|| panic!("no row for {}", operation.name));
        for (cell, permissions) in [(row[2], operation.delegated), (row[3], operation.application)] {
            let told = quoted(cell);
            assert_eq!(told.first().map(String::as_str), permissions.first().copied(), "{}", operation.name);
            for permission in told {
                assert!(
                    permissions.contains(&permission.as_str()),
                    "{permission} does not do for {}",
                    operation.name
                );
            }
            known.extend(permissions.iter().copied());
        }
    }
    let told: BTreeSet<String> = rows.iter().flat_map(|row| [quoted(row[2]), quoted(row[3])].concat()).collect();
    let missing: Vec<&str> = known.into_iter().filter(|permission| !told.contains(*permission)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}
