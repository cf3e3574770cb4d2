//! The library's advice in the words of the module, by the module's own table.

use std::sync::OnceLock;

/// A hint, or a warning with advice, as the module says it: the rows of `$script:HintWords` in powershell/DefenderXdr/Private/Errors.ps1, one after another.
pub fn in_powershell(hint: &str) -> String {
    static ROWS: OnceLock<Vec<(String, String)>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| {
        let source = include_str!("../../powershell/DefenderXdr/Private/Errors.ps1");
        let (_, table) = source.split_once("$script:HintWords = [ordered]@{").unwrap();
        let (table, _) = table.split_once("\n}").unwrap();
        let rows: Vec<(String, String)> = table
            .lines()
            .filter_map(|line| {
                let (words, ours) = line.trim().strip_prefix('\'')?.strip_suffix('\'')?.split_once(" = '")?;
                let words = words.trim_end().strip_suffix('\'')?;
                Some((words.replace("''", "'"), ours.replace("''", "'")))
            })
            .collect();
        assert_eq!(
            rows.len(),
            table.lines().filter(|line| !line.trim().is_empty()).count(),
            "a row is not understood"
        );
        rows
    });
    rows.iter().fold(hint.to_owned(), |hint, (words, ours)| hint.replace(words, ours))
}
