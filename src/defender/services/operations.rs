//! What can be asked of the services: address, permissions, limits. One line a row, so that a changed page is a changed row.
//!
//! Sources: the API reference pages of Microsoft Defender XDR, Microsoft Defender for Endpoint and Microsoft Graph security, one per operation.
//! Where a page prints what another contradicts, both spellings stand here: a permission more does no harm.

use serde_json::{Value, json};

use super::{ENDPOINT, GRAPH, Service, XDR};

/// How often the service lets one app of one tenant call an operation; 0 means that no limit is documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Calls in any minute.
    pub per_minute: u32,
    /// Calls in any hour.
    pub per_hour: u32,
}

/// One operation of a service.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it is called here; also names its budget.
    pub name: &'static str,
    /// Whose.
    pub service: &'static Service,
    /// The HTTP method.
    pub method: &'static str,
    /// The path; `{id}` stands for one segment.
    pub path: &'static str,
    /// Delegated permissions, any of which will do.
    pub delegated: &'static [&'static str],
    /// Application permissions, any of which will do.
    pub application: &'static [&'static str],
    /// What the person needs in the portal besides.
    pub role: &'static str,
    /// The documented limit.
    pub limit: Limit,
    /// Records asked for on a page; 0 where there are no pages.
    pub page: u32,
    /// The most records the service puts on a page.
    pub max_page: u32,
    /// The member that tells records apart.
    pub id: &'static str,
    /// Where there is none, the list is a 404 in the service's own words.
    pub empty_is_404: bool,
    /// Records leave the list, whatever it is asked for: they are deleted.
    pub shrinks: bool,
}

const fn per(per_minute: u32, per_hour: u32) -> Limit {
    Limit { per_minute, per_hour }
}

/// What Endpoint pages print unless they say otherwise.
const USUAL: Limit = per(100, 1500);
/// "Microsoft Graph service-specific throttling limits", Security detections and incidents: any operation on alerts, per app and tenant.
const GRAPH_ALERTS: Limit = per(150, 0);
/// The same page names none for incidents, though its heading does. So calls about them are not paced, and a 429 is waited out as its `Retry-After` says.
const NONE: Limit = per(0, 0);

const VIEW: &str = "View Data";
const REMEDIATE: &str = "Active remediation actions";
const INVESTIGATE: &str = "Alerts investigation";
const MANAGE: &str = "Manage security settings";

const INCIDENT_READ: (&[&str], &[&str]) = (
    &["Incident.Read", "Incident.ReadWrite"],
    &["Incident.Read.All", "Incident.ReadWrite.All"],
);
const INCIDENT_WRITE: (&[&str], &[&str]) = (&["Incident.ReadWrite"], &["Incident.ReadWrite.All"]);
const GRAPH_READ: (&[&str], &[&str]) = (
    &["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"],
    &["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"],
);
const GRAPH_WRITE: (&[&str], &[&str]) = (&["SecurityIncident.ReadWrite.All"], &["SecurityIncident.ReadWrite.All"]);
const GRAPH_ALERT_READ: (&[&str], &[&str]) = (
    &["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"],
    &["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"],
);
const GRAPH_ALERT_WRITE: (&[&str], &[&str]) = (&["SecurityAlert.ReadWrite.All"], &["SecurityAlert.ReadWrite.All"]);
const HUNT: (&[&str], &[&str]) = (&["AdvancedHunting.Read"], &["AdvancedHunting.Read.All"]);
const QUERY: (&[&str], &[&str]) = (&["AdvancedQuery.Read"], &["AdvancedQuery.Read.All"]);
const GRAPH_HUNT: (&[&str], &[&str]) = (&["ThreatHunting.Read.All"], &["ThreatHunting.Read.All"]);
const ALERT_READ: (&[&str], &[&str]) = (&["Alert.Read", "Alert.ReadWrite"], &["Alert.Read.All", "Alert.ReadWrite.All"]);
const ALERT_WRITE: (&[&str], &[&str]) = (&["Alert.ReadWrite"], &["Alert.ReadWrite.All"]);
const MACHINE_READ: (&[&str], &[&str]) = (
    &["Machine.Read", "Machine.ReadWrite"],
    &["Machine.Read.All", "Machine.ReadWrite.All"],
);
const MACHINE_WRITE: (&[&str], &[&str]) = (&["Machine.ReadWrite"], &["Machine.ReadWrite.All"]);
const ISOLATE: (&[&str], &[&str]) = (&["Machine.Isolate"], &["Machine.Isolate"]);
const SCAN: (&[&str], &[&str]) = (&["Machine.Scan"], &["Machine.Scan"]);
const RESTRICT: (&[&str], &[&str]) = (&["Machine.RestrictExecution"], &["Machine.RestrictExecution"]);
// The page lists the machine permissions beside it for apps.
const QUARANTINE: (&[&str], &[&str]) = (
    &["Machine.StopAndQuarantine"],
    &["Machine.StopAndQuarantine", "Machine.Read.All", "Machine.ReadWrite.All"],
);
// Each action's own permission cancels it.
const CANCEL: (&[&str], &[&str]) = (
    &[
        "Machine.Isolate",
        "Machine.Scan",
        "Machine.RestrictExecution",
        "Machine.StopAndQuarantine",
        "Machine.CollectForensics",
        "Machine.Offboard",
        "Machine.LiveResponse",
    ],
    &[
        "Machine.Isolate",
        "Machine.Scan",
        "Machine.RestrictExecution",
        "Machine.StopAndQuarantine",
        "Machine.CollectForensics",
        "Machine.Offboard",
        "Machine.LiveResponse",
    ],
);
const INDICATOR: (&[&str], &[&str]) = (&["Ti.ReadWrite"], &["Ti.ReadWrite", "Ti.ReadWrite.All"]);

type Permissions = (&'static [&'static str], &'static [&'static str]);

#[expect(clippy::too_many_arguments, reason = "a row of the table")]
const fn row(
    name: &'static str,
    service: &'static Service,
    method: &'static str,
    path: &'static str,
    permissions: Permissions,
    role: &'static str,
    limit: Limit,
    (page, max_page, id): (u32, u32, &'static str),
) -> Operation {
    Operation {
        name,
        service,
        method,
        path,
        delegated: permissions.0,
        application: permissions.1,
        role,
        limit,
        page,
        max_page,
        id,
        empty_is_404: false,
        shrinks: false,
    }
}

impl Operation {
    const fn empty_is_404(mut self) -> Operation {
        self.empty_is_404 = true;
        self
    }

    const fn shrinks(mut self) -> Operation {
        self.shrinks = true;
        self
    }
}

const ONE: (u32, u32, &str) = (0, 0, "id");
/// The service sends up to 10,000 records a page; memory is better served by less, and the budget allows it.
const MANY: (u32, u32, &str) = (1000, 10_000, "id");

macro_rules! operations {
    ($($(#[$doc:meta])* $ident:ident = $row:expr;)*) => {
        $($(#[$doc])* pub static $ident: Operation = $row;)*
        /// Every operation.
        pub static ALL: &[&Operation] = &[$(&$ident),*];
    };
}

#[rustfmt::skip]
operations! {
    /// "List incidents".
    INCIDENTS_LIST = row("incidents.list", &XDR, "GET", "/api/incidents", INCIDENT_READ, VIEW, per(50, 1500), (100, 100, "incidentId"));
    /// "Get incident".
    INCIDENTS_GET = row("incidents.get", &XDR, "GET", "/api/incidents/{id}", INCIDENT_READ, VIEW, USUAL, (0, 0, "incidentId"));
    /// "Update incident".
    INCIDENTS_UPDATE = row("incidents.update", &XDR, "PATCH", "/api/incidents/{id}", INCIDENT_WRITE, INVESTIGATE, per(50, 1500), (0, 0, "incidentId"));
    /// "Advanced hunting"; it stops on 2027-02-01.
    HUNTING_XDR = row("hunting.run_xdr", &XDR, "POST", "/api/advancedhunting/run", HUNT, VIEW, per(45, 0), ONE);
    /// "List incidents" of Graph.
    GRAPH_INCIDENTS_LIST = row("graph.incidents.list", &GRAPH, "GET", "/v1.0/security/incidents", GRAPH_READ, VIEW, NONE, (50, 50, "id"));
    /// "Get incident" of Graph.
    GRAPH_INCIDENTS_GET = row("graph.incidents.get", &GRAPH, "GET", "/v1.0/security/incidents/{id}", GRAPH_READ, VIEW, NONE, ONE);
    /// "Update incident" of Graph.
    GRAPH_INCIDENTS_UPDATE = row("graph.incidents.update", &GRAPH, "PATCH", "/v1.0/security/incidents/{id}", GRAPH_WRITE, INVESTIGATE, NONE, ONE);
    /// "Create comment for incident" of Graph.
    GRAPH_INCIDENTS_COMMENT = row("graph.incidents.comment", &GRAPH, "POST", "/v1.0/security/incidents/{id}/comments", GRAPH_WRITE, INVESTIGATE, NONE, ONE);
    /// "security: runHuntingQuery".
    HUNTING = row("hunting.run", &GRAPH, "POST", "/v1.0/security/runHuntingQuery", GRAPH_HUNT, VIEW, per(45, 0), ONE);
    /// "List alerts".
    ALERTS_LIST = row("alerts.list", &ENDPOINT, "GET", "/api/alerts", ALERT_READ, VIEW, USUAL, MANY);
    /// "Get alert".
    ALERTS_GET = row("alerts.get", &ENDPOINT, "GET", "/api/alerts/{id}", ALERT_READ, VIEW, USUAL, ONE);
    /// "Update alert".
    ALERTS_UPDATE = row("alerts.update", &ENDPOINT, "PATCH", "/api/alerts/{id}", ALERT_WRITE, INVESTIGATE, USUAL, ONE);
    /// "Batch update alerts".
    ALERTS_BATCH = row("alerts.batch_update", &ENDPOINT, "POST", "/api/alerts/batchUpdate", ALERT_WRITE, INVESTIGATE, per(10, 500), ONE);
    /// "List machines": 404 when there are no recent ones.
    MACHINES_LIST = row("machines.list", &ENDPOINT, "GET", "/api/machines", MACHINE_READ, VIEW, USUAL, MANY).empty_is_404();
    /// "Get machine".
    MACHINES_GET = row("machines.get", &ENDPOINT, "GET", "/api/machines/{id}", MACHINE_READ, VIEW, USUAL, ONE);
    /// "Isolate machine".
    MACHINES_ISOLATE = row("machines.isolate", &ENDPOINT, "POST", "/api/machines/{id}/isolate", ISOLATE, REMEDIATE, USUAL, ONE);
    /// "Release machine from isolation".
    MACHINES_RELEASE = row("machines.release", &ENDPOINT, "POST", "/api/machines/{id}/unisolate", ISOLATE, REMEDIATE, USUAL, ONE);
    /// "Run antivirus scan".
    MACHINES_SCAN = row("machines.scan", &ENDPOINT, "POST", "/api/machines/{id}/runAntiVirusScan", SCAN, REMEDIATE, USUAL, ONE);
    /// "Stop and quarantine file".
    MACHINES_QUARANTINE = row("machines.quarantine", &ENDPOINT, "POST", "/api/machines/{id}/StopAndQuarantineFile", QUARANTINE, REMEDIATE, USUAL, ONE);
    /// "Restrict app execution".
    MACHINES_RESTRICT = row("machines.restrict", &ENDPOINT, "POST", "/api/machines/{id}/restrictCodeExecution", RESTRICT, REMEDIATE, USUAL, ONE);
    /// "Remove app restriction".
    MACHINES_UNRESTRICT = row("machines.unrestrict", &ENDPOINT, "POST", "/api/machines/{id}/unrestrictCodeExecution", RESTRICT, REMEDIATE, USUAL, ONE);
    /// "Add or remove machine tags".
    MACHINES_TAG = row("machines.tag", &ENDPOINT, "POST", "/api/machines/{id}/tags", MACHINE_WRITE, MANAGE, USUAL, ONE);
    /// "List machine actions".
    ACTIONS_LIST = row("machine_actions.list", &ENDPOINT, "GET", "/api/machineactions", MACHINE_READ, VIEW, USUAL, MANY);
    /// "Get machine action".
    ACTIONS_GET = row("machine_actions.get", &ENDPOINT, "GET", "/api/machineactions/{id}", MACHINE_READ, VIEW, USUAL, ONE);
    /// "Cancel machine action".
    ACTIONS_CANCEL = row("machine_actions.cancel", &ENDPOINT, "POST", "/api/machineactions/{id}/cancel", CANCEL, REMEDIATE, USUAL, ONE);
    /// "List indicators".
    INDICATORS_LIST = row("indicators.list", &ENDPOINT, "GET", "/api/indicators", INDICATOR, MANAGE, USUAL, MANY).shrinks();
    /// "Submit or update indicator".
    INDICATORS_SUBMIT = row("indicators.submit", &ENDPOINT, "POST", "/api/indicators", INDICATOR, MANAGE, USUAL, ONE);
    /// "Import indicators".
    INDICATORS_IMPORT = row("indicators.import", &ENDPOINT, "POST", "/api/indicators/import", INDICATOR, MANAGE, per(30, 1500), ONE);
    /// "Delete indicator".
    INDICATORS_DELETE = row("indicators.delete", &ENDPOINT, "DELETE", "/api/indicators/{id}", INDICATOR, MANAGE, USUAL, ONE);
    /// "Advanced hunting" of the Endpoint API; it stops on 2027-02-01.
    HUNTING_ENDPOINT = row("hunting.run_endpoint", &ENDPOINT, "POST", "/api/advancedqueries/run", QUERY, VIEW, per(45, 1500), ONE);
}

/// Paths with a documented limit that no named operation calls. They have one name, and so one budget, as the service counts them.
#[rustfmt::skip]
pub static PATHS: [Operation; 4] = [
    row("graph.alerts", &GRAPH, "GET", "/v1.0/security/alerts_v2", GRAPH_ALERT_READ, VIEW, GRAPH_ALERTS, (0, 2000, "id")),
    row("graph.alerts", &GRAPH, "GET", "/v1.0/security/alerts_v2/{id}", GRAPH_ALERT_READ, VIEW, GRAPH_ALERTS, ONE),
    row("graph.alerts", &GRAPH, "PATCH", "/v1.0/security/alerts_v2/{id}", GRAPH_ALERT_WRITE, INVESTIGATE, GRAPH_ALERTS, ONE),
    row("graph.alerts", &GRAPH, "POST", "/v1.0/security/alerts_v2/{id}/comments", GRAPH_ALERT_WRITE, INVESTIGATE, GRAPH_ALERTS, ONE),
];

/// Paths that no row names, by service: no permissions known, and the limit most rows have, for each by itself (see [`Operation::counted_as`]).
pub static OTHER: [Operation; 3] = [
    row("xdr.other", &XDR, "", "", (&[], &[]), VIEW, per(50, 1500), ONE),
    row("endpoint.other", &ENDPOINT, "", "", (&[], &[]), VIEW, USUAL, ONE),
    row("graph.other", &GRAPH, "", "", (&[], &[]), VIEW, NONE, ONE),
];

impl Operation {
    /// The row of a call to any path of a service.
    pub fn of(service: &'static Service, method: &str, path: &str) -> &'static Operation {
        // `/api/v1.0/x` is `/api/x`.
        let path = path.replacen("/api/v1.0/", "/api/", 1).replacen("/beta/", "/v1.0/", 1);
        let path = path.trim_end_matches('/');
        let fits = |pattern: &str| {
            let mut parts = path.split('/');
            pattern.split('/').all(|part| {
                parts
                    .next()
                    // No id has parentheses: what has is a function, such as findbyip(...).
                    .is_some_and(|have| part == "{id}" && !have.is_empty() && !have.contains('(') || part.eq_ignore_ascii_case(have))
            }) && parts.next().is_none()
        };
        ALL.iter()
            .copied()
            .chain(&PATHS)
            .filter(|row| row.service == service && row.method.eq_ignore_ascii_case(method))
            // A literal path wins over one with a place in it.
            .filter(|row| fits(row.path))
            .min_by_key(|row| row.path.matches("{id}").count())
            .unwrap_or_else(|| {
                let [xdr, endpoint, graph] = &OTHER;
                match service.key {
                    "xdr" => xdr,
                    "endpoint" => endpoint,
                    _ => graph,
                }
            })
    }

    /// What calls are counted as, by the documented limits: an operation, or of paths that no row names each by itself, whatever ids it has. What is an id there
    /// nobody tells: a segment with a digit or one of `.@%:-` in it, and the one between a collection and what belongs to one of its objects.
    pub fn counted_as(&self, method: &str, path: &str) -> String {
        if !self.path.is_empty() {
            return self.name.to_owned();
        }
        let path = path.replacen("/api/v1.0/", "/api/", 1).replacen("/beta/", "/v1.0/", 1);
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let last = parts.len().saturating_sub(1);
        let shape = parts.iter().enumerate().map(|(at, part)| {
            // A function's arguments stand in parentheses.
            let (name, function) = part.split_once('(').map_or((*part, false), |(name, _)| (name, true));
            let is_marked = name.bytes().any(|byte| byte.is_ascii_digit() || b".@%:-".contains(&byte));
            let is_between = parts.first() == Some(&"api") && at == 2 && at < last;
            if at > 0 && !function && (is_marked || is_between) {
                "{id}".to_owned()
            } else {
                name.to_ascii_lowercase()
            }
        });
        format!("{method} /{}", shape.collect::<Vec<_>>().join("/"))
    }

    /// The path with the id in its place, escaped as one segment.
    pub fn path_of(&self, id: &str) -> String {
        self.path.replace("{id}", &crate::defender::percent(id))
    }

    /// The time by which a list can be asked for the records that changed since another: a record that changes gets a newer one. None for lists whose
    /// records have no such time: an indicator has that of its making only, and so has a machine action, which stays where it is.
    pub fn changed(&self) -> Option<&'static str> {
        match self.name {
            "incidents.list" | "alerts.list" => Some("lastUpdateTime"),
            "graph.incidents.list" => Some("lastUpdateDateTime"),
            "machines.list" => Some("lastSeen"),
            _ => None,
        }
    }

    pub(super) fn describe(&self) -> Value {
        json!({
            "operation": self.name,
            "service": self.service.key,
            "method": self.method,
            "path": self.path,
            "delegated": self.delegated,
            "application": self.application,
            "role": self.role,
            "per_minute": self.limit.per_minute,
            "per_hour": self.limit.per_hour,
            "page": self.page,
            "max_page": self.max_page,
            "changed": self.changed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_row() {
        let of = |service, method, path| Operation::of(service, method, path).name;
        assert_eq!(of(&XDR, "GET", "/api/incidents"), "incidents.list");
        assert_eq!(of(&XDR, "GET", "/api/v1.0/incidents/7"), "incidents.get");
        assert_eq!(of(&ENDPOINT, "POST", "/api/indicators/import"), "indicators.import");
        assert_eq!(of(&ENDPOINT, "post", "/api/alerts/BATCHUPDATE"), "alerts.batch_update");
        assert_eq!(of(&ENDPOINT, "GET", "/api/machines/x/logonusers"), "endpoint.other");
        assert_eq!(of(&GRAPH, "POST", "/beta/security/runHuntingQuery"), "hunting.run");
        assert_eq!(of(&GRAPH, "GET", "/v1.0/me"), "graph.other");
        assert_eq!(of(&GRAPH, "GET", "/beta/security/alerts_v2/da1"), "graph.alerts");
        let comment = Operation::of(&GRAPH, "POST", "/v1.0/security/alerts_v2/da1/comments");
        assert_eq!(
            (comment.limit, comment.delegated),
            (per(150, 0), &["SecurityAlert.ReadWrite.All"][..])
        );
    }

    #[test]
    fn a_path_without_a_row_is_counted_by_its_shape() {
        let of = |service, method, path: &str| Operation::of(service, method, path).counted_as(method, path);
        assert_eq!(of(&ENDPOINT, "GET", "/api/machines"), "machines.list");
        for (path, shape) in [
            (
                "/api/machines/56f18844cec46b794bf3beae9e1cc08ca6babb22/logonusers",
                "GET /api/machines/{id}/logonusers",
            ),
            ("/api/v1.0/machines/some-pc/LogonUsers/", "GET /api/machines/{id}/logonusers"),
            ("/api/users/someone/alerts", "GET /api/users/{id}/alerts"),
            ("/api/ips/192.0.2.1/stats", "GET /api/ips/{id}/stats"),
            ("/api/Vulnerabilities/CVE-2026-0001", "GET /api/vulnerabilities/{id}"),
            (
                "/api/vulnerabilities/machinesVulnerabilities",
                "GET /api/vulnerabilities/machinesvulnerabilities",
            ),
            (
                "/api/machines/findbyip(ip='192.0.2.1',timestamp=2026-01-01T00:00:00Z)",
                "GET /api/machines/findbyip",
            ),
        ] {
            assert_eq!(of(&ENDPOINT, "GET", path), shape);
        }
        assert_eq!(
            of(&GRAPH, "GET", "/beta/users/a@b.example/messages"),
            "GET /v1.0/users/{id}/messages"
        );
    }

    #[test]
    fn names_are_unique_and_every_row_names_its_permissions() {
        let mut names: Vec<&str> = ALL.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(
            ALL.iter()
                .all(|row| !row.delegated.is_empty() && !row.application.is_empty() && row.page <= row.max_page)
        );
        assert_eq!(MACHINES_GET.path_of("a/b c"), "/api/machines/a%2Fb%20c");
    }
}
