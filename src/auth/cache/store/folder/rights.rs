//! Who besides its user may change a file or folder on Windows, read from its security descriptor as text (SDDL: "Security Descriptor String Format",
//! "ACE Strings" and "SID Strings" of Microsoft's reference).
//!
//! Reading a text needs no system: the rule is tested everywhere.

/// The SIDs of those who can do everything anyway: the system, administrators of the machine and of its domain, Windows' own installer, and those who
/// stand for the owner, who is judged by name.
const TRUSTED: &[&str] = &[
    "SY",
    "S-1-5-18",
    "BA",
    "S-1-5-32-544",
    "LA",
    "DA",
    "EA",
    "CO",
    "S-1-3-0",
    "OW",
    "S-1-3-4",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
];

/// What changes a file, or what lies in a folder: to write, append, delete (it or what is in it), and to take it over; and the generic rights to that.
const CHANGES: u32 = 0x2 | 0x4 | 0x40 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x1000_0000 | 0x4000_0000;

/// The rights that SDDL has names for.
const NAMED: &[(&str, u32)] = &[
    ("GA", 0x1000_0000),
    ("GX", 0x2000_0000),
    ("GW", 0x4000_0000),
    ("GR", 0x8000_0000),
    ("RC", 0x2_0000),
    ("SD", 0x1_0000),
    ("WD", 0x4_0000),
    ("WO", 0x8_0000),
    ("FA", 0x1f_01ff),
    ("FR", 0x12_0089),
    ("FW", 0x12_0116),
    ("FX", 0x12_00a0),
    ("CC", 0x1),
    ("DC", 0x2),
    ("LC", 0x4),
    ("SW", 0x8),
    ("RP", 0x10),
    ("WP", 0x20),
    ("DT", 0x40),
    ("LO", 0x80),
    ("CR", 0x100),
];

/// Why somebody but `user`, administrators and the system may change what the descriptor is of; `None` if nobody may.
pub fn stranger(sddl: &str, user: &str) -> Option<String> {
    let may = |sid: &str| TRUSTED.contains(&sid) || sid.eq_ignore_ascii_case(user);
    match section(sddl, 'O') {
        Some(owner) if may(owner) => {}
        Some(owner) => return Some(format!("belongs to another user ({owner})")),
        None => return Some("has no owner that could be read".to_owned()),
    }
    let Some(list) = section(sddl, 'D') else {
        return Some("can be changed by everybody: it has no access list".to_owned());
    };
    // What stands before the first entry are flags of the list.
    let flags = list.split('(').next().unwrap_or_default();
    if flags.contains("NO_ACCESS_CONTROL") {
        return Some("can be changed by everybody: its access list is none".to_owned());
    }
    entries(list)
        .find_map(|entry| granted(entry).filter(|sid| !may(sid)))
        .map(|sid| format!("can be changed by others ({sid})"))
}

/// What stands behind a section's letter: `O:`, `G:`, `D:` or `S:`.
fn section(sddl: &str, letter: char) -> Option<&str> {
    let mut depth = 0u32;
    let mut begins = None;
    let mut before: Option<(usize, char)> = None;
    for (at, c) in sddl.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                if let (Some(begins), Some((ends, _))) = (begins, before) {
                    return sddl.get(begins..ends);
                }
                if before.is_some_and(|(_, before)| before == letter) {
                    begins = Some(at + 1);
                }
            }
            _ => {}
        }
        before = Some((at, c));
    }
    begins.and_then(|begins| sddl.get(begins..))
}

/// The entries of a list, without their parentheses. A condition within one may have more of those.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0u32;
    let mut begins = 0;
    list.char_indices().filter_map(move |(at, c)| {
        match c {
            '(' => {
                if depth == 0 {
                    begins = at + 1;
                }
                depth += 1;
            }
            ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return list.get(begins..at);
                }
            }
            _ => {}
        }
        None
    })
}

/// Whom an entry lets change something. One that only hands down counts, too: what is made there gets it.
fn granted(entry: &str) -> Option<&str> {
    let mut fields = entry.split(';');
    let kind = fields.next()?.trim();
    let rights = fields.nth(1)?.trim();
    let sid = fields.nth(2)?.trim();
    // What forbids, audits or labels lets nobody do anything; what is not known may.
    let harmless = matches!(kind, "D" | "OD" | "XD" | "AU" | "OU" | "XU" | "AL" | "OL" | "ML" | "RA" | "SP");
    (!harmless && mask(rights).is_none_or(|mask| mask & CHANGES != 0)).then_some(sid)
}

/// The bits of a right's text; `None` if it has a name that is not known here.
fn mask(rights: &str) -> Option<u32> {
    if let Some(digits) = rights.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    let mut bits = 0;
    let mut rest = rights;
    while !rest.is_empty() {
        let (name, more) = rest.split_at_checked(2)?;
        bits |= NAMED.iter().find(|(known, _)| *known == name)?.1;
        rest = more;
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::stranger;

    const ANA: &str = "S-1-5-21-111-222-333-1001";

    fn of(sddl: &str) -> Option<String> {
        stranger(&sddl.replace("ANA", ANA), ANA)
    }

    #[test]
    fn a_profiles_folder_is_its_users_alone() {
        for sddl in [
            // %LOCALAPPDATA%, and a file in it.
            "O:ANAG:S-1-5-21-111-222-333-513D:(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;FA;;;ANA)",
            "O:ANAG:ANAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1f01ff;;;ANA)",
            // Made by an administrator with raised rights; others may read, and nothing else.
            "O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;CO)(A;OICI;0x1200a9;;;BU)(A;OICI;FRFX;;;AU)(A;;GRGX;;;WD)",
            "O:SYG:SYD:P(A;;FA;;;OW)(D;;FA;;;WD)(A;;FA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)",
            // Empty: nobody may do anything, but for the owner.
            "O:ANAD:P",
            "O:ANAG:ANAD:P(A;;FA;;;ANA)S:AI(ML;;NW;;;LW)(AU;SAFA;FA;;;WD)",
        ] {
            assert_eq!(of(sddl), None, "{sddl}");
        }
    }

    #[test]
    fn whoever_else_may_change_it_is_named() {
        let anothers = "S-1-5-21-111-222-333-1002";
        for (sddl, why) in [
            (
                format!("O:{anothers}G:ANAD:(A;;FA;;;ANA)"),
                format!("belongs to another user ({anothers})"),
            ),
            ("O:BUG:BUD:(A;;FA;;;ANA)".to_owned(), "belongs to another user (BU)".to_owned()),
            // A folder below C:\ gets this from there.
            (
                "O:ANAG:ANAD:AI(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)(A;ID;0x1301bf;;;AU)".to_owned(),
                "others (AU)".to_owned(),
            ),
            ("O:ANAG:ANAD:(A;OICIIOID;SDGXGWGR;;;AU)".to_owned(), "others (AU)".to_owned()),
            (format!("O:ANAD:(A;;FA;;;ANA)(A;;FW;;;{anothers})"), format!("others ({anothers})")),
            ("O:ANAD:(A;;DT;;;WD)".to_owned(), "others (WD)".to_owned()),
            ("O:ANAD:(A;;WD;;;BU)".to_owned(), "others (BU)".to_owned()),
            ("O:ANAD:(A;;0x40000000;;;BG)".to_owned(), "others (BG)".to_owned()),
            // With a condition, and of kinds and rights that a later Windows may know.
            ("O:ANAD:(XA;;FA;;;WD;(Member_of {SID(BA)}))".to_owned(), "others (WD)".to_owned()),
            ("O:ANAD:(ZZ;;FA;;;WD)".to_owned(), "others (WD)".to_owned()),
            ("O:ANAD:(A;;FRZZ;;;WD)".to_owned(), "others (WD)".to_owned()),
            ("O:ANAG:ANA".to_owned(), "everybody".to_owned()),
            ("O:ANAG:ANAD:NO_ACCESS_CONTROL".to_owned(), "everybody".to_owned()),
            ("D:(A;;FA;;;ANA)".to_owned(), "no owner".to_owned()),
            (String::new(), "no owner".to_owned()),
        ] {
            let said = of(&sddl);
            assert!(said.as_ref().is_some_and(|said| said.contains(&why)), "{sddl}: {said:?}");
        }
    }
}
