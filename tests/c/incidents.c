/*
 * The contract: incidents come as the service's bytes, exactly as sent, newest first, every one of them or a loud error; a refused token is renewed
 * once; a next page on another host is not followed; a host that has seen enough cancels, and nothing comes any more.
 */
#include "check.h"

#include "operation.h"
#include "wire.h"

/* The service's own answer, asked for without the library. `query` is what stands behind /api/incidents. */
static int raw(const dxdr_token *token, const char *query, struct answer *answer)
{
    uint16_t port = 0;
    char key[128], path[512];
    const uint8_t *value = NULL;
    size_t len = 0;
    char *headers = NULL;
    int result = -1;
    memset(answer, 0, sizeof *answer);
    REQUIRE(emulator(&port, key) == 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_value(token, &value, &len));
    headers = malloc(len + 64);
    REQUIRE(headers != NULL);
    snprintf(headers, len + 64, "Authorization: Bearer %s\r\n", (const char *)value);
    snprintf(path, sizeof path, "/api.security.microsoft.com/api/incidents%s", query);
    REQUIRE(ask(port, "GET", path, headers, "", answer) == 0 && answer->status == 200);
    result = 0;
cleanup:
    free(headers);
    return result;
}

/* What every check starts with. */
struct world {
    dxdr_client *client;
    dxdr_request *request;
    dxdr_token *token;
    dxdr_op *op;
    dxdr_buf *item, *event, *detail, *error;
    struct answer answer;
};

static void end_world(struct world *w)
{
    dxdr_op_free(w->op);
    dxdr_token_free(w->token);
    dxdr_request_free(w->request);
    dxdr_client_free(w->client);
    dxdr_buf_free(w->item);
    dxdr_buf_free(w->event);
    dxdr_buf_free(w->detail);
    dxdr_buf_free(w->error);
    free(w->answer.text);
}

static int make_world(struct world *w)
{
    dxdr_buf *error = NULL;
    memset(w, 0, sizeof *w);
    REQUIRE(emulator_reset() == 0);
    w->client = private_client();
    w->request = app_request(w->client);
    REQUIRE(w->request != NULL);
    REQUIRE_OK(dxdr_acquire_token(w->request, 0, NULL, &w->token, &error));
    return 0;
cleanup:
    dxdr_buf_free(error);
    end_world(w);
    return 1;
}

/* Goes on at the place where the operation stands, to so many records in all; the last state. */
static int go_on(struct world *w, const char *more, int until, int *records, int64_t *last)
{
    char call[1 << 15];
    int state = -1;
    dxdr_buf *place = NULL, *error = NULL;
    REQUIRE_OK(dxdr_op_cancel(w->op));
    REQUIRE_OK(dxdr_op_resume(w->op, &place, &error));
    REQUIRE(place != NULL);
    snprintf(call, sizeof call, "{\"operation\":\"incidents.list\",\"backend\":\"xdr\"%s,\"resume\":\"%s\"}", more, text_of(place));
    dxdr_op_free(w->op);
    w->op = NULL;
    REQUIRE_OK(dxdr_call_start(w->request, TEXT(call), 0, &w->op, &error));
    while (*records < until && (state = next_item(w->op, &w->item)) == DXDR_OP_STATE_ITEM) {
        REQUIRE(json_number(text_of(w->item), "incidentId") != *last);
        *last = json_number(text_of(w->item), "incidentId");
        (*records)++;
        drop_buf(&w->item);
    }
cleanup:
    dxdr_buf_free(place);
    dxdr_buf_free(error);
    return state;
}

#define WORLD                    \
    int failed = 1;              \
    struct world w;              \
    if (make_world(&w) != 0) {   \
        return 1;                \
    }
#define error w.error

static int a_page_is_the_services_own_bytes(void)
{
    WORLD
    const uint8_t *data = NULL;
    size_t len = 0;
    REQUIRE(raw(w.token, "?$top=100", &w.answer) == 0);
    REQUIRE_OK(dxdr_get_incidents(w.request, NULL, 0, 0, NULL, &w.item, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_buf_get(w.item, &data, &len));
    REQUIRE(len == w.answer.body_len && memcmp(data, w.answer.body, len) == 0 && data[len] == 0);
    drop_buf(&w.item);
    drop_answer(&w.answer);
    REQUIRE(raw(w.token, "?$top=7&$skip=3", &w.answer) == 0);
    REQUIRE_OK(dxdr_get_incidents(w.request, TEXT("{\"top\":7,\"skip\":3}"), 0, NULL, &w.item, &error));
    REQUIRE(length_of(w.item) == w.answer.body_len && strcmp(text_of(w.item), w.answer.body) == 0);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

/* All 120, over two pages; each record is a slice of the page it came on, in the order of the pages. */
static int records_one_by_one(void)
{
    WORLD
    struct answer second = {0, NULL, NULL, 0};
    int records = 0, state;
    const char *at;
    int64_t id, last = 0;
    REQUIRE(raw(w.token, "?$top=100", &w.answer) == 0 && raw(w.token, "?$top=100&$skip=100", &second) == 0);
    at = w.answer.body;
    REQUIRE_OK(dxdr_list_incidents_start(w.request, NULL, 0, 0, &w.op, &error));
    while ((state = next_item(w.op, &w.item)) == DXDR_OP_STATE_ITEM) {
        if (records == 100) {
            at = second.body;
        }
        REQUIRE(length_of(w.item) == strlen(text_of(w.item)));
        at = strstr(at, text_of(w.item));
        REQUIRE(at != NULL);
        at += length_of(w.item);
        id = json_number(text_of(w.item), "incidentId");
        REQUIRE(id > 0 && id != last && text_of(w.item)[0] == '{');
        last = id;
        records++;
        drop_buf(&w.item);
    }
    REQUIRE(state == DXDR_OP_STATE_DONE && records == 120);
    /* It has no token to hand out, and nothing failed. */
    REQUIRE_STATUS(DXDR_STATUS_BUSY, dxdr_op_take_token(w.op, &w.token, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_take_error(w.op, &w.detail, NULL));
    REQUIRE(w.detail == NULL);
    failed = 0;
cleanup:
    drop_answer(&second);
    end_world(&w);
    return failed;
}

static int whole_pages(void)
{
    WORLD
    REQUIRE_OK(dxdr_list_incidents_start(w.request, TEXT("{\"items\":\"pages\"}"), 0, &w.op, &error));
    for (int page = 0; page < 2; page++) {
        REQUIRE(raw(w.token, page == 0 ? "?$top=100" : "?$top=100&$skip=100", &w.answer) == 0);
        REQUIRE(next_item(w.op, &w.item) == DXDR_OP_STATE_ITEM);
        REQUIRE(length_of(w.item) == w.answer.body_len && memcmp(text_of(w.item), w.answer.body, w.answer.body_len) == 0);
        drop_buf(&w.item);
        drop_answer(&w.answer);
    }
    REQUIRE(next_item(w.op, &w.item) == DXDR_OP_STATE_DONE);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

/* Links instead of counting: the same records. */
static int next_links_are_followed(void)
{
    WORLD
    int records = 0, state;
    REQUIRE(control("POST", "data", "{\"next_link\":true}", NULL) == 0);
    REQUIRE_OK(dxdr_list_incidents_start(w.request, TEXT("{\"top\":50}"), 0, &w.op, &error));
    while ((state = next_item(w.op, &w.item)) == DXDR_OP_STATE_ITEM) {
        records++;
        drop_buf(&w.item);
    }
    REQUIRE(state == DXDR_OP_STATE_DONE && records == 120);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int the_first_few(void)
{
    WORLD
    int records = 0, state;
    REQUIRE_OK(dxdr_list_incidents_start(w.request, TEXT("{\"first\":5}"), 0, &w.op, &error));
    while ((state = next_item(w.op, &w.item)) == DXDR_OP_STATE_ITEM) {
        records++;
        drop_buf(&w.item);
    }
    REQUIRE(state == DXDR_OP_STATE_DONE && records == 5);
    /* No more was asked for than is wanted. */
    REQUIRE(emulator_asked("/api/incidents\"") == 1 && emulator_asked("\"query_text\":\"$top=5\"") == 1);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int memory_holds_what_is_used_and_one_page_more(void)
{
    WORLD
    int records = 0, state = 0;
    REQUIRE(control("POST", "data", "{\"generate_incidents\":1000}", NULL) == 0);
    REQUIRE_OK(dxdr_list_incidents_start(w.request, NULL, 0, 0, &w.op, &error));
    while ((state = next_item(w.op, &w.item)) == DXDR_OP_STATE_ITEM) {
        /* Page N+1 may be under way while page N is taken, and no further. */
        if (records % 250 == 0) {
            REQUIRE(emulator_asked("/api/incidents\"") <= records / 100 + 2);
        }
        records++;
        drop_buf(&w.item);
    }
    REQUIRE(state == DXDR_OP_STATE_DONE && records == 1000);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int progress_is_told(void)
{
    WORLD
    int32_t state;
    int told = 0;
    REQUIRE_OK(dxdr_list_incidents_start(w.request, NULL, 0, 0, &w.op, &error));
    for (;;) {
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(w.op, LONG_MS, &state));
        if (state == DXDR_OP_STATE_EVENT) {
            REQUIRE_OK(dxdr_op_take_event(w.op, &w.event, &error));
            REQUIRE_HOLDS(text_of(w.event), "\"reply\":\"none\"");
            told += strstr(text_of(w.event), "\"kind\":\"progress\"") != NULL;
            drop_buf(&w.event);
        } else if (state == DXDR_OP_STATE_ITEM) {
            REQUIRE_OK(dxdr_op_take_item(w.op, &w.item, &error));
            drop_buf(&w.item);
        } else {
            break;
        }
    }
    REQUIRE(state == DXDR_OP_STATE_DONE && told == 2);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int a_filter(void)
{
    WORLD
    int records = 0, state;
    REQUIRE_OK(dxdr_list_incidents_start(w.request, TEXT("{\"filter\":\"status eq 'Active'\"}"), 0, &w.op, &error));
    while ((state = next_item(w.op, &w.item)) == DXDR_OP_STATE_ITEM) {
        REQUIRE_HOLDS(text_of(w.item), "\"Active\"");
        records++;
        drop_buf(&w.item);
    }
    REQUIRE(state == DXDR_OP_STATE_DONE && records > 0 && records < 120);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

/* The operation's own failure, at its end, with the filter in the hint. */
static int a_bad_filter(void)
{
    WORLD
    REQUIRE_OK(dxdr_list_incidents_start(w.request, TEXT("{\"filter\":\"severity eq 'High'\"}"), 0, &w.op, &error));
    REQUIRE(last_state(w.op) == DXDR_OP_STATE_FAILED);
    REQUIRE_OK(dxdr_op_take_error(w.op, &w.detail, &error));
    REQUIRE(code_of(w.detail) == DXDR_STATUS_BAD_FILTER);
    REQUIRE_HOLDS(text_of(w.detail), "\"http_status\":400");
    REQUIRE_HOLDS(text_of(w.detail), "severity eq 'High'");
    REQUIRE_STATUS(DXDR_STATUS_BAD_FILTER, dxdr_get_incidents(w.request, TEXT("{\"filter\":\"status eq\"}"), 0, NULL, &w.item, &error));
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int one_by_its_number(void)
{
    WORLD
    char query[64], path[64];
    int64_t id;
    REQUIRE(raw(w.token, "?$top=1", &w.answer) == 0);
    id = json_number(w.answer.body, "incidentId");
    drop_answer(&w.answer);
    snprintf(path, sizeof path, "/%" PRId64, id);
    REQUIRE(raw(w.token, path, &w.answer) == 0);
    snprintf(query, sizeof query, "{\"id\":%" PRId64 "}", id);
    REQUIRE_OK(dxdr_get_incident_start(w.request, TEXT(query), 0, &w.op, &error));
    REQUIRE(next_item(w.op, &w.item) == DXDR_OP_STATE_ITEM);
    REQUIRE(length_of(w.item) == w.answer.body_len && strcmp(text_of(w.item), w.answer.body) == 0);
    drop_buf(&w.item);
    REQUIRE(next_item(w.op, &w.item) == DXDR_OP_STATE_DONE);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int none_by_that_number(void)
{
    WORLD
    REQUIRE_OK(dxdr_get_incident_start(w.request, TEXT("{\"id\":999999999}"), 0, &w.op, &error));
    REQUIRE(last_state(w.op) == DXDR_OP_STATE_FAILED);
    REQUIRE_OK(dxdr_op_take_error(w.op, &w.detail, &error));
    REQUIRE(code_of(w.detail) == DXDR_STATUS_NOT_FOUND);
    REQUIRE_HOLDS(text_of(w.detail), "999999999");
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int a_refused_token_is_renewed_once(void)
{
    WORLD
    REQUIRE(emulator_faults("[{\"match\":{\"path_contains\":\"/api/incidents\"},\"do\":{\"revoke_access_tokens\":true}}]") == 0);
    REQUIRE_OK(dxdr_get_incidents(w.request, NULL, 0, 0, NULL, &w.item, &error));
    REQUIRE_HOLDS(text_of(w.item), "\"incidentId\"");
    drop_buf(&w.item);
    REQUIRE(emulator_asked("/oauth2/token\"") == 2 && emulator_asked("/api/incidents\"") == 2);
    /* And not for ever. */
    REQUIRE(emulator_faults("[{\"match\":{\"path_contains\":\"/api/incidents\"},\"times\":0,\"do\":{\"status\":401,\"json\":{\"error\":{\"code\":\"Unauthorized\",\"message\":\"no\"}}}}]") == 0);
    REQUIRE_STATUS(DXDR_STATUS_UNAUTHORIZED, dxdr_get_incidents(w.request, NULL, 0, 0, NULL, &w.item, &error));
    REQUIRE_HOLDS(text_of(error), "\"http_status\":401");
    REQUIRE(emulator_asked("/oauth2/token\"") == 3 && emulator_asked("/api/incidents\"") == 4);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

/* The token would go with the request: a link to another host is not followed. What came before it was handed over. */
static int a_next_page_elsewhere_is_refused(void)
{
    WORLD
    int records = 0, state;
    REQUIRE(emulator_faults("[{\"match\":{\"path_contains\":\"/api/incidents\"},\"times\":0,\"do\":{\"next_link\":\"https://api.security.microsoft.com.example.com/api/incidents?$skip=100\"}}]") == 0);
    REQUIRE_OK(dxdr_list_incidents_start(w.request, NULL, 0, 0, &w.op, &error));
    while ((state = next_item(w.op, &w.item)) == DXDR_OP_STATE_ITEM) {
        records++;
        drop_buf(&w.item);
    }
    REQUIRE(state == DXDR_OP_STATE_FAILED && records == 100);
    REQUIRE_OK(dxdr_op_take_error(w.op, &w.detail, &error));
    REQUIRE(code_of(w.detail) == DXDR_STATUS_NEXTLINK_HOST);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int a_lack_of_permission_names_it(void)
{
    WORLD
    REQUIRE(emulator_faults("[{\"match\":{\"path_contains\":\"/api/incidents\"},\"do\":{\"status\":403,\"json\":{\"error\":{\"code\":\"Forbidden\",\"message\":\"Missing application roles.\"}}}}]") == 0);
    REQUIRE_STATUS(DXDR_STATUS_FORBIDDEN, dxdr_get_incidents(w.request, NULL, 0, 0, NULL, &w.item, &error));
    REQUIRE_HOLDS(text_of(error), "Missing application roles.");
    REQUIRE(strstr(text_of(error), "\"hint\":null") == NULL);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

/* One wait that the service asks for, said beforehand. */
static int a_throttled_call_waits_and_says_so(void)
{
    WORLD
    REQUIRE(emulator_faults("[{\"match\":{\"path_contains\":\"/api/incidents\"},\"do\":{\"status\":429,\"headers\":{\"retry-after\":\"0\"},\"json\":{\"error\":{\"code\":\"TooManyRequests\",\"message\":\"slow down\"}}}}]") == 0);
    REQUIRE_OK(dxdr_list_incidents_start(w.request, TEXT("{\"first\":1}"), 0, &w.op, &error));
    REQUIRE(next_event(w.op, "retry", &w.event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(w.event), "\"status\":429");
    REQUIRE_HOLDS(text_of(w.event), "\"host\":\"api.security.microsoft.com\"");
    REQUIRE(next_item(w.op, &w.item) == DXDR_OP_STATE_ITEM);
    drop_buf(&w.item);
    REQUIRE(last_state(w.op) == DXDR_OP_STATE_DONE);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int answers_that_are_none(void)
{
    WORLD
    static const struct {
        const char *what;
        int32_t status;
    } cases[] = {
        {"{\"html\":true}", DXDR_STATUS_CAPTIVE_PORTAL},
        {"{\"status\":200,\"body\":\"{\\\"value\\\":5}\"}", DXDR_STATUS_BAD_PAYLOAD},
        {"{\"redirect\":\"https://example.com/\"}", DXDR_STATUS_REDIRECT_REFUSED},
        {"{\"truncate\":100}", DXDR_STATUS_TRUNCATED},
        {"{\"drop\":true}", DXDR_STATUS_RESET},
    };
    char faults[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(faults, sizeof faults, "[{\"match\":{\"path_contains\":\"/api/incidents\"},\"times\":0,\"do\":%s}]", cases[i].what);
        REQUIRE(emulator_faults(faults) == 0);
        const int32_t status = dxdr_get_incidents(w.request, NULL, 0, 0, NULL, &w.item, &error);
        if (status != cases[i].status || w.item != NULL) {
            fprintf(stderr, "%s gave %s\n", cases[i].what, text_of(error));
            goto cleanup;
        }
        drop_buf(&error);
    }
    /* After all that, the next call works. */
    REQUIRE(emulator_faults("[]") == 0);
    REQUIRE_OK(dxdr_get_incidents(w.request, NULL, 0, 0, NULL, &w.item, &error));
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int cancelled_in_the_middle(void)
{
    WORLD
    int32_t state = 0;
    REQUIRE_OK(dxdr_list_incidents_start(w.request, NULL, 0, 0, &w.op, &error));
    for (int i = 0; i < 3; i++) {
        REQUIRE(next_item(w.op, &w.item) == DXDR_OP_STATE_ITEM);
        drop_buf(&w.item);
    }
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_cancel(w.op));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_cancel(w.op));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(w.op, LONG_MS, &state));
    REQUIRE(state == DXDR_OP_STATE_CANCELLED);
    REQUIRE_OK(dxdr_op_take_item(w.op, &w.item, &error));
    REQUIRE(w.item == NULL);
    REQUIRE_OK(dxdr_op_take_event(w.op, &w.event, &error));
    REQUIRE(w.event == NULL);
    REQUIRE_OK(dxdr_op_take_error(w.op, &w.detail, &error));
    REQUIRE(code_of(w.detail) == DXDR_STATUS_CANCELLED);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

static int another_region(void)
{
    WORLD
    REQUIRE_OK(dxdr_get_incidents(w.request, TEXT("{\"top\":1,\"base_url\":\"https://eu.api.security.microsoft.com\"}"), 0, NULL, &w.item, &error));
    REQUIRE(emulator_asked("\"host\":\"eu.api.security.microsoft.com\"") == 1);
    drop_buf(&w.item);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_get_incidents(w.request, TEXT("{\"top\":101}"), 0, NULL, &w.item, &error));
    REQUIRE_HOLDS(text_of(error), "101");
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

/* The same list through the call that all operations have: the same bytes, and a place to go on from that another operation takes. */
static int a_call_and_a_place_to_go_on_from(void)
{
    WORLD
    int records = 0, state;
    int64_t last = 0;
    REQUIRE_OK(dxdr_describe_services(&w.item, &error));
    REQUIRE(strstr(text_of(w.item), "\"incidents.list\"") != NULL);
    drop_buf(&w.item);
    REQUIRE_OK(dxdr_call_start(w.request, TEXT("{\"operation\":\"incidents.list\",\"backend\":\"xdr\",\"top\":50}"), 0, &w.op, &error));
    REQUIRE_OK(dxdr_op_resume(w.op, &w.item, &error));
    REQUIRE(w.item == NULL);
    while (records < 50 && (state = next_item(w.op, &w.item)) == DXDR_OP_STATE_ITEM) {
        last = json_number(text_of(w.item), "incidentId");
        records++;
        drop_buf(&w.item);
    }
    /* At the end of a page, and in the middle of one: gone on with by larger, smaller and the usual pages. */
    REQUIRE(go_on(&w, ",\"top\":80", 70, &records, &last) == DXDR_OP_STATE_ITEM && records == 70);
    REQUIRE(go_on(&w, ",\"top\":20", 90, &records, &last) == DXDR_OP_STATE_ITEM && records == 90);
    state = go_on(&w, "", 1000, &records, &last);
    REQUIRE(state == DXDR_OP_STATE_DONE && records == 120);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(a_page_is_the_services_own_bytes);
    RUN(records_one_by_one);
    RUN(a_call_and_a_place_to_go_on_from);
    RUN(whole_pages);
    RUN(next_links_are_followed);
    RUN(the_first_few);
    RUN(memory_holds_what_is_used_and_one_page_more);
    RUN(progress_is_told);
    RUN(a_filter);
    RUN(a_bad_filter);
    RUN(one_by_its_number);
    RUN(none_by_that_number);
    RUN(a_refused_token_is_renewed_once);
    RUN(a_next_page_elsewhere_is_refused);
    RUN(a_lack_of_permission_names_it);
    RUN(a_throttled_call_waits_and_says_so);
    RUN(answers_that_are_none);
    RUN(cancelled_in_the_middle);
    RUN(another_region);
    PROGRAM_END;
}
