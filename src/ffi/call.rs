//! Calls to the services.

use super::buf::{dxdr_buf, give};
use super::convert::{Out, input, timeout};
use super::guard;
use super::op::{self, dxdr_op};
use super::request::{self, dxdr_request};
use crate::client;

/// Starts a call to one of the services: a named operation, or any path. It is paged, paced, renewed and limited alike. The document is a JSON
/// object. For every call:
///   "operation"   a name of the list below; without it "service" and "path" say what is called
///   "cloud"       "commercial", "gcc", "gcc_high" or "dod"; default: the one that the request's resource belongs to
///                 (GCC High, where it shares the host with DoD: there only Graph's host differs)
///   "base_url"    another host of the service, such as "https://eu.api.security.microsoft.com"; no others are accepted
///   "preflight"   "require" (default): a token that is for another service or tenant, or lacks the permission, fails the call before it is made
///                 (UNAUTHORIZED, FORBIDDEN, without "http_status"); "warn": a warning tells; "off"
///   "pacing"      "auto", "on" or "off" in place of the client's
/// For every list:
///   "filter"      OData, in the service's words; other wishes of the same call hold besides
///   "first"       stop after so many records;  "skip"  leave out so many at the start;  "top"  records a page
///   "items"       "records" (default): an item is one record, and one that appears on two pages comes once; "pages": a whole answer, as it was sent
///   "resume"      what dxdr_op_resume() gave for an earlier call that was the same but for "top"
/// A list may move while it is read: what changes goes to the front, and what a filter no longer fits leaves. Records come complete and once where the
/// list can be asked for what changed since it was begun (incidents of either service and alerts by their time of last update, machines by lastSeen): one
/// that moved is asked so at its end, as often as it must be. Nothing tells what changed of indicators and machine actions, of lists with "skip" or
/// "$orderby", and of other paths: such a list that was seen to move (a record came twice, or a page did not join the one before) is read again from its
/// start, at the cost of as many calls, until nothing moves while it is read; only records that are new are handed over. With a filter, in lists of
/// indicators, and wherever a list is read again, pages overlap by a record, so that nobody behind one that left is missed. A link of the service's own
/// is asked one record earlier for that, where its $skip counts records and the page had more than one; any other link is asked as it is, and what moves behind
/// it does not show.
/// A list that does not come to rest in 20 passes or looks, or whose records leave faster than they are read, ends with LIST_MOVED behind its records. So
/// does one that was seen to move and cannot be read again without repeating: "pages", which are neither compared nor repeated; a list without a time of
/// changes that was gone on with by "resume"; records without an id. Where dxdr_op_resume() gives no place after that, read it from its start.
/// Positions do not show everything: where, of a list without a time of changes, a record read already leaves and one not yet reached goes to the front
/// between two pages, the pages still join, and the latter is not handed over.
/// An id that is null or empty counts as none. Where records of one page differ and have the same id, only the first of them is handed over, and
/// BAD_PAYLOAD behind the records names the id; of incidents, alerts and machines by their own id, which are one record at two times, a warning does.
/// The next page is asked for once half of the one in use was taken, and none beyond it.
/// The operations ("?" marks keys that may be left out):
///   incidents.list      "backend"?: "auto" (default: XDR while the token's permissions allow it, else Graph), "xdr", "graph"; "since"?, "updated_since"?: ISO
///                       8601 or Unix seconds; "status"?, "assigned_to"? ("" is nobody), "severity"?: a text or a list; "alerts"?: false leaves them out
///                       (Graph); "raw"?: true keeps Graph's shape. Items of XDR are its bytes, items of Graph have XDR's names
///   incidents.get       "id", "backend"?, "raw"?, "follow"?: false does not go on to the incident that it was merged into
///   incidents.update    "id", and one or more of "status", "assigned_to" (null clears it), "classification", "determination", "tags" (all of them;
///                       [] takes them away), "comment"; "backend"?, "raw"?, "follow"?. The incident as it is now comes as the item
///   incidents.watch     incidents as they change, each state once: "updated_since"? (default: now, by the service's clock), "interval_s"? (60), "rounds"?
///                       (default: without end), "overlap_s"? (300), "resume"?, and what incidents.list takes besides "since", "first", "skip" and
///                       "items". The first look that fails ends it, an outage too: dxdr_op_resume() gives the place for the next call
///   hunting.run         "query", "timespan"? (Graph: "P30D"), "backend"?: "graph" (default), "xdr", "endpoint" (both stop on 2027-02-01). An event "schema"
///                       comes first, then a row an item. Not sent again, whatever happens, unless the service says when
///   alerts.list         "since"?, "updated_since"?, "status"?, "severity"?, "category"?, "incident_id"?, "evidence"?
///   alerts.get          "id"
///   alerts.update       "id", and "status", "assigned_to", "classification", "determination", "comment";  alerts.batch_update  "ids" (no item comes)
///   machines.list       "name"?, "health"?, "os"?, "risk"?, "exposure"?, "onboarding"?, "tag"?, "seen_since"?
///   machines.get        "machine": an id, or a name that fits exactly one
///   machines.isolate    "machine", "comment", "type"?: "Full" (default), "Selective", "UnManagedDevice"; "wait"?: true waits for the action's end, looking
///                       every "poll_s"? (10). The machine action comes as the item. The same one under way, or the one that brought the machine into
///                       this state before, is taken for it, with a warning; another one of the kind under way is BUSY, and so is either while an action that
///                       undoes it (a release) has not ended: wait for that by machine_actions.wait. With "wait", an action whose end
///                       cannot be seen comes as it was started, and then the error, which names it
///   machines.release, machines.restrict, machines.unrestrict   "machine", "comment", "wait"?, "poll_s"?. Where the machine's actions (as far as they may be
///                       read) show that it is released, or its restriction lifted, nothing is sent: that action comes, with a warning
///   machines.scan       the same, "type"?: "Quick" (default), "Full"
///   machines.quarantine the same, "sha1"
///   machines.tag        "machine", "tag", "action"?: "add" (default), "remove"
///   machine_actions.list  "since"?, "status"?, "type"?, "machine_id"?, "requestor"?;  machine_actions.get  "id";  machine_actions.cancel  "id", "comment"
///   machine_actions.wait  "id", "poll_s"?: the item is the action at its end
///   indicators.list     "since"?, "type"?, "value"?, "action"?, "severity"?
///   indicators.submit   "indicator": an object in the service's words;  indicators.delete  "id" (no item comes)
///   indicators.import   "indicators": a list of such; sent 500 a call; an item for each says what became of it ("indicator", "isFailed",
///                       "failureReason"). What the service refuses as a whole is sent again in halves; of an indicator that is refused by itself, or
///                       that an answer leaves out, the item is the library's, in the same words. To send one again does no harm
/// Any path: "service": "xdr", "endpoint" or "graph"; "path": from the root, or below the service's API; "method"? (GET), "version"? ("v1.0", "beta"),
///   "query"?: an object of texts, "body"?: any JSON, sent as it stands, "headers"?: Prefer, ConsistencyLevel, If-Match, If-None-Match, Accept-Language;
///   "paging"?: true (default for GET) follows a list to its end, false hands the one answer over, with an event "response"; "id_name"?: the member that
///   tells records apart; "retry"?: "safe" or "never"; "first"?, "items"?, "resume"?. With paging "$top" of the query is the size of a page, and no limit:
///   "first" is. The lists of the operations above are paged as those are; on any other path only the service's links lead on
///
/// A wish may not be an empty text or an empty list (BAD_ARGUMENT), but for "assigned_to": left out, it asks for all.
///
/// A change that would be made twice if it were sent twice (a comment, an action, any path that is not a GET, unless "retry" is "safe") is sent once.
/// Where its answer is lost, cannot be read or is a 5xx, the error's "message" says that it is not known whether it was made, its "hint" how to find
/// out, and "retryable" is false.
///
/// The token comes from the request. Where that was prepared for another of the three services, the same sign-in gets one for this service,
/// unless the grant is access_token.
///
/// Events it may bring: those of dxdr_acquire_token_start(), progress, pacing, schema, response, action.
///
/// @param request     how the token is got
/// @param call        the document, at most 16 MiB
/// @param call_len    its length in bytes
/// @param timeout_ms  the limit in milliseconds; 0 is the default: a day for lists and what waits, none for incidents.watch, else 300000, not
///                    counting waits for a documented limit ("pacing"), which against a limit given here do count
/// @param op          receives the operation
/// @param error       receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8, TOO_LARGE, BAD_ARGUMENT, BAD_FILTER or OUT_OF_MEMORY
///
/// Safe from any thread.
///
/// # Safety
///
/// `call` points to `call_len` readable bytes; `op` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_call_start(
    request: *mut dxdr_request,
    call: *const u8,
    call_len: usize,
    timeout_ms: u32,
    op: *mut *mut dxdr_op,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `op`.
        let out = unsafe { Out::required(op) }?;
        let request = request::get(request)?;
        // SAFETY: the caller vouches for `call` and `call_len`.
        let call = unsafe { input(call, call_len) }?;
        out.set(op::put(request.call(call, timeout(timeout_ms))?)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Describes the services and their operations: {"services": [{"service", "name", "app_id", "base_urls": by cloud, "hosts", "audiences"}],
/// "operations": [{"operation", "service", "method", "path", "delegated", "application": permissions of which any will do, "role": what the person
/// needs in the portal, "per_minute", "per_hour": documented limits or 0, "page", "max_page", "changed": the time by which a
/// list is asked for what changed since, or null}]}.
///
/// @param json   receives the document
/// @param error  receives the error document; may be NULL
/// @return DXDR_STATUS_OK or NULL_POINTER
///
/// Safe from any thread.
///
/// # Safety
///
/// `json` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_describe_services(json: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `json`.
        let out = unsafe { Out::required(json) }?;
        out.set(give(client::describe_services().to_string().into_bytes().into())?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}
