/*
 * The contract: the library is the one the header describes; a wrong argument of any kind (NULL, bad UTF-8, an impossible length, an unknown key, a
 * handle that is none) is a status of the 1000 band and nothing worse; out parameters are NULL or 0 on failure; a failure comes with a whole error
 * document where one is asked for, and works without one; freeing NULL does nothing and freeing twice does no harm. Nothing here uses the network.
 */
#include "check.h"

#include "defender_xdr.h"

#include <limits.h>

/* Where out parameters point before a call: never a handle. */
#define SENTINEL(type) ((type *)(uintptr_t)0x5a5a5a5a)

#define STATUSES(S)                                                                                                                              \
    S(OK, 0)                                                                                                                                     \
    S(NULL_POINTER, 1000) S(BAD_UTF8, 1001) S(BAD_HANDLE, 1002) S(TOO_LARGE, 1003) S(BAD_ARGUMENT, 1004) S(ABI_VERSION, 1005) S(UNSUPPORTED, 1006) \
    S(CANCELLED, 2000) S(TIMEOUT, 2001) S(SHUTTING_DOWN, 2002) S(PANIC, 2003) S(OUT_OF_MEMORY, 2004) S(FORKED, 2005) S(BUSY, 2006)               \
    S(DNS, 3000) S(CONNECT, 3001) S(TLS_NAME, 3002) S(TLS_EXPIRED, 3003) S(TLS_UNTRUSTED, 3004) S(TLS_PROTOCOL, 3005) S(RESET, 3006)             \
    S(TRUNCATED, 3007) S(BODY_TOO_LARGE, 3008) S(BAD_ENCODING, 3009) S(REDIRECT_REFUSED, 3010) S(PROXY_AUTH, 3011) S(NOT_JSON, 3012)             \
    S(CAPTIVE_PORTAL, 3013) S(BAD_HTTP, 3014)                                                                                                    \
    S(INTERACTION_REQUIRED, 4000) S(CONSENT_REQUIRED, 4001) S(MFA_REQUIRED, 4002) S(APP_NOT_FOUND, 4003) S(BAD_SECRET, 4004)                     \
    S(SECRET_EXPIRED, 4005) S(BAD_USER_CREDENTIAL, 4006) S(TENANT_NOT_FOUND, 4007) S(INVALID_GRANT, 4008) S(DEVICE_CODE_EXPIRED, 4009)           \
    S(DECLINED, 4010) S(CLAIMS_CHALLENGE, 4011) S(INVALID_SCOPE, 4012) S(ASSERTION_TIME, 4013) S(BLOCKED_BY_POLICY, 4014) S(OAUTH_OTHER, 4019)   \
    S(STATE_MISMATCH, 5000) S(REDIRECT_ERROR, 5001) S(NO_CODE, 5002) S(PORT_IN_USE, 5003) S(NO_BROWSER, 5004) S(BROWSER_TIMEOUT, 5005)           \
    S(ISS_MISMATCH, 5006) S(ENDPOINT_REFUSED, 5007)                                                                                               \
    S(THROTTLED, 6000) S(SERVER_ERROR, 6001) S(SERVER_UNAVAILABLE, 6002) S(THROTTLED_LOCALLY, 6003)                                              \
    S(CACHE_CORRUPT, 7000) S(CACHE_PERMISSION, 7001) S(CACHE_LOCKED, 7002) S(CACHE_IO, 7003) S(CACHE_NEWER_VERSION, 7004)                        \
    S(CACHE_DECRYPT, 7005) S(NO_KEYRING, 7006) S(ACCOUNT_NOT_FOUND, 7007)                                                                        \
    S(NOT_JWT, 8000) S(BAD_BASE64, 8001) S(BAD_JSON, 8002) S(ALG_REFUSED, 8003) S(BAD_SIGNATURE, 8004) S(EXPIRED, 8005)                          \
    S(NOT_YET_VALID, 8006) S(AUDIENCE, 8007) S(ISSUER, 8008) S(CLAIM_TYPE, 8009) S(ENCRYPTED, 8010) S(OPAQUE, 8011) S(KEY_NOT_FOUND, 8012)       \
    S(DUPLICATE_CLAIM, 8013) S(CRITICAL_HEADER, 8014)                                                                                            \
    S(UNAUTHORIZED, 9000) S(FORBIDDEN, 9001) S(NOT_FOUND, 9002) S(BAD_FILTER, 9003) S(PAGING_LOOP, 9004) S(NEXTLINK_HOST, 9005)                  \
    S(BAD_PAYLOAD, 9006) S(QUOTA, 9007) S(LIST_MOVED, 9008)                                                                                      \
    S(NO_MANAGED_IDENTITY, 10000) S(IMDS_UNREACHABLE, 10001) S(ARC_SECRET, 10002) S(FEDERATED_TOKEN_FILE, 10003) S(CERTIFICATE, 10004)           \
    S(PRIVATE_KEY, 10005) S(TOOL_MISSING, 10006) S(TOOL_FAILED, 10007) S(ENVIRONMENT_INCOMPLETE, 10008)

static const struct {
    int32_t status;
    int32_t number;
    const char *name;
} statuses[] = {
#define S(name, number) {DXDR_STATUS_##name, number, #name},
    STATUSES(S)
#undef S
};

/* A JWT with nothing in it; not a secret. */
#define EMPTY_JWT "eyJhbGciOiJub25lIn0.e30."

/* One live handle of each kind, without any network. */
struct world {
    dxdr_client *client;
    dxdr_request *request;
    dxdr_secret *secret;
    dxdr_token *token;
    dxdr_op *op;
    dxdr_cancel *cancel;
    dxdr_buf *buf;
};

static void end_world(struct world *w)
{
    dxdr_op_free(w->op);
    dxdr_token_free(w->token);
    dxdr_request_free(w->request);
    dxdr_secret_free(w->secret);
    dxdr_client_free(w->client);
    dxdr_cancel_free(w->cancel);
    dxdr_buf_free(w->buf);
}

static int make_world(struct world *w)
{
    int32_t state = 0;
    memset(w, 0, sizeof *w);
    w->client = private_client();
    w->request = request_with(w->client, "{\"grant\":\"access_token\"}", "access_token", EMPTY_JWT);
    REQUIRE(w->client != NULL && w->request != NULL);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_new_utf8(TEXT("a secret"), &w->secret, NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_acquire_token(w->request, 0, NULL, &w->token, NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_acquire_token_start(w->request, 0, &w->op, NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(w->op, LONG_MS, &state));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_new(&w->cancel, NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_describe(w->client, &w->buf, NULL));
    return 0;
cleanup:
    end_world(w);
    return 1;
}

static int version_and_abi(void)
{
    int failed = 1;
    dxdr_client *client = NULL;
    dxdr_buf *json = NULL;
    char abi[32];
    REQUIRE(dxdr_abi_version() == DXDR_ABI_VERSION);
    REQUIRE(dxdr_abi_version() >> 16 == 1);
    REQUIRE(strcmp(dxdr_version(), PACKAGE_VERSION) == 0);
    /* The library says the same of itself in its own words. */
    client = private_client();
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_describe(client, &json, NULL));
    snprintf(abi, sizeof abi, "\"abi\":%" PRIu32, (uint32_t)DXDR_ABI_VERSION);
    REQUIRE_HOLDS(text_of(json), abi);
    REQUIRE_HOLDS(text_of(json), "\"version\":\"" PACKAGE_VERSION "\"");
    REQUIRE_HOLDS(text_of(json), "c-tests/1 ");
    failed = 0;
cleanup:
    dxdr_buf_free(json);
    dxdr_client_free(client);
    return failed;
}

static int status_names(void)
{
    static const int32_t unknown[] = {1, -1, 999, 1007, 2007, 4015, 4018, 4020, 5008, 10009, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        REQUIRE(statuses[i].status == statuses[i].number);
        REQUIRE(strcmp(dxdr_status_name(statuses[i].number), statuses[i].name) == 0);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        REQUIRE(strcmp(dxdr_status_name(unknown[i]), "UNKNOWN") == 0);
    }
    return 0;
cleanup:
    return 1;
}

static int free_of_null_does_nothing(void)
{
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_buf_free(NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_free(NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_free(NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_request_free(NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(NULL));
    return 0;
cleanup:
    return 1;
}

static int double_free_is_a_status(void)
{
    struct world w;
    if (make_world(&w) != 0) {
        return 1;
    }
    for (int32_t want = DXDR_STATUS_OK, round = 0; round < 3; round++, want = DXDR_STATUS_BAD_HANDLE) {
        REQUIRE_STATUS(want, dxdr_op_free(w.op));
        REQUIRE_STATUS(want, dxdr_token_free(w.token));
        REQUIRE_STATUS(want, dxdr_request_free(w.request));
        REQUIRE_STATUS(want, dxdr_secret_free(w.secret));
        REQUIRE_STATUS(want, dxdr_client_free(w.client));
        REQUIRE_STATUS(want, dxdr_cancel_free(w.cancel));
        REQUIRE_STATUS(want, dxdr_buf_free(w.buf));
    }
    return 0;
cleanup:
    return 1;
}

/* Every function that takes a handle, with the same wrong one in its place. */
static int all_refuse(const void *handle, const char *what)
{
    /* A handle is a number that looks like a pointer, so a foreign one can be passed by a cast alone. */
    const uintptr_t number = (uintptr_t)handle;
    int failed = 1;
    const uint8_t *data = (const uint8_t *)"x";
    size_t len = 7;
    int64_t when = 7;
    int32_t state = 7;
    dxdr_buf *out = SENTINEL(dxdr_buf), *error = NULL;
    dxdr_token *token = SENTINEL(dxdr_token);
    dxdr_op *op = SENTINEL(dxdr_op);
    dxdr_request *request = SENTINEL(dxdr_request);
#define REFUSED(call)                                                                                                                 \
    do {                                                                                                                              \
        const int32_t refused_ = (call);                                                                                              \
        if (refused_ != DXDR_STATUS_BAD_HANDLE) {                                                                                     \
            fprintf(stderr, "%s:%d: %s: %s gave %s\n", __FILE__, __LINE__, what, #call, dxdr_status_name(refused_));                  \
            goto cleanup;                                                                                                             \
        }                                                                                                                             \
    } while (0)
#define REFUSED_WITH_OUT(out_, type, call)                                             \
    do {                                                                               \
        out_ = SENTINEL(type);                                                         \
        REFUSED(call);                                                                 \
        REQUIRE(out_ == NULL && code_of(error) == DXDR_STATUS_BAD_HANDLE);             \
        drop_buf(&error);                                                              \
    } while (0)
    REFUSED(dxdr_buf_get((dxdr_buf *)number, &data, &len));
    REQUIRE(data == NULL && len == 0);
    REFUSED(dxdr_buf_free((dxdr_buf *)number));
    REFUSED(dxdr_secret_free((dxdr_secret *)number));
    REFUSED(dxdr_cancel_trigger((dxdr_cancel *)number));
    REFUSED(dxdr_cancel_free((dxdr_cancel *)number));
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_client_describe((dxdr_client *)number, &out, &error));
    REFUSED(dxdr_client_set_secret((dxdr_client *)number, TEXT("proxy_password"), (dxdr_secret *)number, &error));
    drop_buf(&error);
    REFUSED(dxdr_client_clear_cache((dxdr_client *)number, &error));
    drop_buf(&error);
    REFUSED_WITH_OUT(op, dxdr_op, dxdr_client_accounts_start((dxdr_client *)number, TEXT("{\"accounts\":\"list\"}"), 0, &op, &error));
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_client_accounts((dxdr_client *)number, &out, &error));
    REFUSED(dxdr_client_remove_account((dxdr_client *)number, TEXT("x"), &error));
    drop_buf(&error);
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_client_export_refresh_token((dxdr_client *)number, TEXT("x"), NULL, 0, &out, &error));
    REFUSED(dxdr_client_free((dxdr_client *)number));
    REFUSED_WITH_OUT(request, dxdr_request, dxdr_request_new((dxdr_client *)number, TEXT("{\"grant\":\"access_token\"}"), &request, &error));
    REFUSED(dxdr_request_set_secret((dxdr_request *)number, TEXT("access_token"), (dxdr_secret *)number, &error));
    drop_buf(&error);
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_request_describe((dxdr_request *)number, &out, &error));
    REFUSED(dxdr_request_free((dxdr_request *)number));
    REFUSED_WITH_OUT(token, dxdr_token, dxdr_acquire_token((dxdr_request *)number, 0, NULL, &token, &error));
    REFUSED_WITH_OUT(token, dxdr_token, dxdr_cached_token((dxdr_request *)number, &token, &error));
    data = (const uint8_t *)"x", len = 7;
    REFUSED(dxdr_token_value((dxdr_token *)number, &data, &len));
    REQUIRE(data == NULL && len == 0);
    data = (const uint8_t *)"x", len = 7;
    REFUSED(dxdr_token_id_token((dxdr_token *)number, &data, &len));
    REQUIRE(data == NULL && len == 0);
    REFUSED(dxdr_token_expires_on((dxdr_token *)number, &when));
    REQUIRE(when == 0);
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_token_describe((dxdr_token *)number, &out, &error));
    REFUSED(dxdr_token_free((dxdr_token *)number));
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_get_incidents((dxdr_request *)number, NULL, 0, 0, NULL, &out, &error));
    REFUSED_WITH_OUT(op, dxdr_op, dxdr_acquire_token_start((dxdr_request *)number, 0, &op, &error));
    REFUSED_WITH_OUT(op, dxdr_op, dxdr_list_incidents_start((dxdr_request *)number, NULL, 0, 0, &op, &error));
    REFUSED_WITH_OUT(op, dxdr_op, dxdr_get_incident_start((dxdr_request *)number, TEXT("{\"id\":1}"), 0, &op, &error));
    REFUSED_WITH_OUT(op, dxdr_op, dxdr_call_start((dxdr_request *)number, TEXT("{\"operation\":\"alerts.list\"}"), 0, &op, &error));
    REFUSED(dxdr_op_wait((dxdr_op *)number, LONG_MS, &state));
    REQUIRE(state == 0);
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_op_take_event((dxdr_op *)number, &out, &error));
    REFUSED(dxdr_op_reply((dxdr_op *)number, 1, TEXT("x"), &error));
    drop_buf(&error);
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_op_take_item((dxdr_op *)number, &out, &error));
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_op_resume((dxdr_op *)number, &out, &error));
    REFUSED_WITH_OUT(token, dxdr_token, dxdr_op_take_token((dxdr_op *)number, &token, &error));
    REFUSED_WITH_OUT(out, dxdr_buf, dxdr_op_take_error((dxdr_op *)number, &out, &error));
    REFUSED(dxdr_op_cancel((dxdr_op *)number));
    REFUSED(dxdr_op_free((dxdr_op *)number));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    return failed;
}

static int made_up_handles_are_refused(void)
{
    static const uintptr_t numbers[] = {1, 2, 7, 8, 64, 4096, 0xdeadbeef, (uintptr_t)1 << 31, UINTPTR_MAX, UINTPTR_MAX / 2, UINTPTR_MAX - 1};
    static const char text[] = "not a handle";
    int local = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        REQUIRE(all_refuse((const void *)numbers[i], "a number") == 0);
    }
    /* Real addresses are no handles either. */
    REQUIRE(all_refuse(text, "static memory") == 0);
    REQUIRE(all_refuse(&local, "the stack") == 0);
    return 0;
cleanup:
    return 1;
}

/* A live handle of each kind, given to a function of every other kind. */
static int foreign_handles_are_refused(void)
{
    int failed = 1;
    struct world w;
    const uint8_t *data;
    size_t len;
    int32_t state;
    if (make_world(&w) != 0) {
        return 1;
    }
    const void *kinds[] = {w.client, w.request, w.secret, w.token, w.op, w.cancel, w.buf};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const uintptr_t foreign = (uintptr_t)kinds[i];
        if (kinds[i] != (void *)w.buf) {
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_buf_get((dxdr_buf *)foreign, &data, &len));
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_buf_free((dxdr_buf *)foreign));
        }
        if (kinds[i] != (void *)w.client) {
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_client_clear_cache((dxdr_client *)foreign, NULL));
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_client_free((dxdr_client *)foreign));
        }
        if (kinds[i] != (void *)w.request) {
            dxdr_token *token = SENTINEL(dxdr_token);
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_cached_token((dxdr_request *)foreign, &token, NULL));
            REQUIRE(token == NULL);
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_request_free((dxdr_request *)foreign));
        }
        if (kinds[i] != (void *)w.secret) {
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_request_set_secret(w.request, TEXT("access_token"), (dxdr_secret *)foreign, NULL));
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_secret_free((dxdr_secret *)foreign));
        }
        if (kinds[i] != (void *)w.token) {
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_token_value((dxdr_token *)foreign, &data, &len));
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_token_free((dxdr_token *)foreign));
        }
        if (kinds[i] != (void *)w.op) {
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_wait((dxdr_op *)foreign, LONG_MS, &state));
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_cancel((dxdr_op *)foreign));
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_free((dxdr_op *)foreign));
        }
        if (kinds[i] != (void *)w.cancel) {
            dxdr_token *token = SENTINEL(dxdr_token);
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_acquire_token(w.request, 0, (dxdr_cancel *)foreign, &token, NULL));
            REQUIRE(token == NULL);
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_cancel_free((dxdr_cancel *)foreign));
        }
    }
    /* None of it did harm to what is alive. */
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_value(w.token, &data, &len));
    REQUIRE(len == strlen(EMPTY_JWT) && strcmp((const char *)data, EMPTY_JWT) == 0);
    failed = 0;
cleanup:
    end_world(&w);
    return failed;
}

/* A NULL in each place where a pointer must be, with everything else as it should be. */
static int null_is_a_status_everywhere(void)
{
    int failed = 1;
    struct world w;
    const uint8_t *data;
    size_t len;
    int32_t state;
    int64_t when;
    dxdr_buf *out = NULL, *error = NULL;
    dxdr_token *token = NULL;
    dxdr_op *op = NULL;
    dxdr_request *request = NULL;
    dxdr_client *client = NULL;
    dxdr_secret *secret = NULL;
    if (make_world(&w) != 0) {
        return 1;
    }
#define NULL_REFUSED(call)                                          \
    do {                                                            \
        REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, call);             \
        REQUIRE(code_of(error) == DXDR_STATUS_NULL_POINTER);        \
        drop_buf(&error);                                           \
    } while (0)
#define NULL_REFUSED_WITH_OUT(out_, type, call)                     \
    do {                                                            \
        out_ = SENTINEL(type);                                      \
        NULL_REFUSED(call);                                         \
        REQUIRE(out_ == NULL);                                      \
    } while (0)
    data = (const uint8_t *)"x", len = 7;
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_buf_get(NULL, &data, &len));
    REQUIRE(data == NULL && len == 0);
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_buf_get(w.buf, NULL, &len));
    data = (const uint8_t *)"x";
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_buf_get(w.buf, &data, NULL));
    REQUIRE(data == NULL);

    NULL_REFUSED_WITH_OUT(secret, dxdr_secret, dxdr_secret_new_utf8(NULL, 1, &secret, &error));
    NULL_REFUSED(dxdr_secret_new_utf8(TEXT("x"), NULL, &error));
    NULL_REFUSED_WITH_OUT(secret, dxdr_secret, dxdr_secret_new_utf16(NULL, 1, &secret, &error));
    NULL_REFUSED(dxdr_secret_new_utf16(NULL, 0, NULL, &error));

    NULL_REFUSED(dxdr_cancel_new(NULL, &error));
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_cancel_trigger(NULL));

    NULL_REFUSED_WITH_OUT(client, dxdr_client, dxdr_client_new(NULL, 1, &client, &error));
    NULL_REFUSED(dxdr_client_new(NULL, 0, NULL, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_client_describe(NULL, &out, &error));
    NULL_REFUSED(dxdr_client_describe(w.client, NULL, &error));
    NULL_REFUSED(dxdr_client_clear_cache(NULL, &error));
    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_client_accounts_start(NULL, TEXT("{\"accounts\":\"list\"}"), 0, &op, &error));
    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_client_accounts_start(w.client, NULL, 8, 0, &op, &error));
    NULL_REFUSED(dxdr_client_accounts_start(w.client, TEXT("{\"accounts\":\"list\"}"), 0, NULL, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_client_accounts(NULL, &out, &error));
    NULL_REFUSED(dxdr_client_accounts(w.client, NULL, &error));
    NULL_REFUSED(dxdr_client_remove_account(NULL, TEXT("x"), &error));
    NULL_REFUSED(dxdr_client_remove_account(w.client, NULL, 1, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_client_export_refresh_token(NULL, TEXT("x"), NULL, 0, &out, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_client_export_refresh_token(w.client, NULL, 1, NULL, 0, &out, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_client_export_refresh_token(w.client, TEXT("x"), NULL, 1, &out, &error));
    NULL_REFUSED(dxdr_client_export_refresh_token(w.client, TEXT("x"), NULL, 0, NULL, &error));

    NULL_REFUSED_WITH_OUT(request, dxdr_request, dxdr_request_new(NULL, TEXT("{\"grant\":\"access_token\"}"), &request, &error));
    NULL_REFUSED_WITH_OUT(request, dxdr_request, dxdr_request_new(w.client, NULL, 1, &request, &error));
    NULL_REFUSED(dxdr_request_new(w.client, TEXT("{\"grant\":\"access_token\"}"), NULL, &error));
    NULL_REFUSED(dxdr_client_set_secret(NULL, TEXT("proxy_password"), w.secret, &error));
    NULL_REFUSED(dxdr_client_set_secret(w.client, NULL, 1, w.secret, &error));
    NULL_REFUSED(dxdr_client_set_secret(w.client, TEXT("proxy_password"), NULL, &error));
    NULL_REFUSED(dxdr_request_set_secret(NULL, TEXT("access_token"), w.secret, &error));
    NULL_REFUSED(dxdr_request_set_secret(w.request, NULL, 1, w.secret, &error));
    NULL_REFUSED(dxdr_request_set_secret(w.request, TEXT("access_token"), NULL, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_request_describe(NULL, &out, &error));
    NULL_REFUSED(dxdr_request_describe(w.request, NULL, &error));

    NULL_REFUSED_WITH_OUT(token, dxdr_token, dxdr_acquire_token(NULL, 0, w.cancel, &token, &error));
    NULL_REFUSED(dxdr_acquire_token(w.request, 0, w.cancel, NULL, &error));
    NULL_REFUSED_WITH_OUT(token, dxdr_token, dxdr_cached_token(NULL, &token, &error));
    NULL_REFUSED(dxdr_cached_token(w.request, NULL, &error));
    data = (const uint8_t *)"x", len = 7;
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_token_value(NULL, &data, &len));
    REQUIRE(data == NULL && len == 0);
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_token_value(w.token, NULL, &len));
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_token_value(w.token, &data, NULL));
    data = (const uint8_t *)"x", len = 7;
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_token_id_token(NULL, &data, &len));
    REQUIRE(data == NULL && len == 0);
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_token_id_token(w.token, NULL, &len));
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_token_id_token(w.token, &data, NULL));
    when = 7;
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_token_expires_on(NULL, &when));
    REQUIRE(when == 0);
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_token_expires_on(w.token, NULL));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_token_describe(NULL, &out, &error));
    NULL_REFUSED(dxdr_token_describe(w.token, NULL, &error));

    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_decode_claims(NULL, 1, &out, &error));
    NULL_REFUSED(dxdr_decode_claims(TEXT(EMPTY_JWT), NULL, &error));

    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_get_incidents(NULL, NULL, 0, 0, w.cancel, &out, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_get_incidents(w.request, NULL, 1, 0, w.cancel, &out, &error));
    NULL_REFUSED(dxdr_get_incidents(w.request, NULL, 0, 0, w.cancel, NULL, &error));

    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_acquire_token_start(NULL, 0, &op, &error));
    NULL_REFUSED(dxdr_acquire_token_start(w.request, 0, NULL, &error));
    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_list_incidents_start(NULL, NULL, 0, 0, &op, &error));
    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_list_incidents_start(w.request, NULL, 1, 0, &op, &error));
    NULL_REFUSED(dxdr_list_incidents_start(w.request, NULL, 0, 0, NULL, &error));
    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_get_incident_start(NULL, TEXT("{\"id\":1}"), 0, &op, &error));
    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_get_incident_start(w.request, NULL, 8, 0, &op, &error));
    NULL_REFUSED(dxdr_get_incident_start(w.request, TEXT("{\"id\":1}"), 0, NULL, &error));
    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_call_start(NULL, TEXT("{\"operation\":\"alerts.list\"}"), 0, &op, &error));
    NULL_REFUSED_WITH_OUT(op, dxdr_op, dxdr_call_start(w.request, NULL, 8, 0, &op, &error));
    NULL_REFUSED(dxdr_call_start(w.request, TEXT("{\"operation\":\"alerts.list\"}"), 0, NULL, &error));
    NULL_REFUSED(dxdr_describe_services(NULL, &error));

    state = 7;
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_op_wait(NULL, LONG_MS, &state));
    REQUIRE(state == 0);
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_op_wait(w.op, 0, NULL));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_op_take_event(NULL, &out, &error));
    NULL_REFUSED(dxdr_op_take_event(w.op, NULL, &error));
    NULL_REFUSED(dxdr_op_reply(NULL, 1, TEXT("x"), &error));
    NULL_REFUSED(dxdr_op_reply(w.op, 1, NULL, 1, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_op_take_item(NULL, &out, &error));
    NULL_REFUSED(dxdr_op_take_item(w.op, NULL, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_op_resume(NULL, &out, &error));
    NULL_REFUSED(dxdr_op_resume(w.op, NULL, &error));
    NULL_REFUSED_WITH_OUT(token, dxdr_token, dxdr_op_take_token(NULL, &token, &error));
    NULL_REFUSED(dxdr_op_take_token(w.op, NULL, &error));
    NULL_REFUSED_WITH_OUT(out, dxdr_buf, dxdr_op_take_error(NULL, &out, &error));
    NULL_REFUSED(dxdr_op_take_error(w.op, NULL, &error));
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_op_cancel(NULL));

    /* And without anywhere to put the document. */
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_cancel_new(NULL, NULL));
    REQUIRE_STATUS(DXDR_STATUS_NULL_POINTER, dxdr_decode_claims(NULL, 1, &out, NULL));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    end_world(&w);
    return failed;
}

static int bad_utf8_is_a_status(void)
{
    int failed = 1;
    /* A stray byte, a cut sequence, an overlong one, a surrogate, beyond Unicode. */
    static const char *const bad[] = {"\xff", "\xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"};
    static const uint16_t lone[] = {'a', 0xd800, 'b'};
    struct world w;
    dxdr_buf *out = NULL, *error = NULL;
    dxdr_op *op = NULL;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_secret *secret = NULL;
    char json[64];
    if (make_world(&w) != 0) {
        return 1;
    }
#define UTF8_REFUSED(call)                                      \
    do {                                                        \
        REQUIRE_STATUS(DXDR_STATUS_BAD_UTF8, call);             \
        REQUIRE(code_of(error) == DXDR_STATUS_BAD_UTF8);        \
        drop_buf(&error);                                       \
    } while (0)
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(json, sizeof json, "{\"filter\":\"%s\"}", bad[i]);
        UTF8_REFUSED(dxdr_secret_new_utf8(TEXT(bad[i]), &secret, &error));
        UTF8_REFUSED(dxdr_client_new(TEXT(json), &client, &error));
        UTF8_REFUSED(dxdr_request_new(w.client, TEXT(json), &request, &error));
        UTF8_REFUSED(dxdr_request_set_secret(w.request, TEXT(bad[i]), w.secret, &error));
        UTF8_REFUSED(dxdr_client_set_secret(w.client, TEXT(bad[i]), w.secret, &error));
        UTF8_REFUSED(dxdr_client_accounts_start(w.client, TEXT(json), 0, &op, &error));
        UTF8_REFUSED(dxdr_client_remove_account(w.client, TEXT(bad[i]), &error));
        UTF8_REFUSED(dxdr_client_export_refresh_token(w.client, TEXT(bad[i]), NULL, 0, &out, &error));
        UTF8_REFUSED(dxdr_client_export_refresh_token(w.client, TEXT("x"), TEXT(bad[i]), &out, &error));
        UTF8_REFUSED(dxdr_decode_claims(TEXT(bad[i]), &out, &error));
        UTF8_REFUSED(dxdr_get_incidents(w.request, TEXT(json), 0, NULL, &out, &error));
        UTF8_REFUSED(dxdr_list_incidents_start(w.request, TEXT(json), 0, &op, &error));
        UTF8_REFUSED(dxdr_get_incident_start(w.request, TEXT(json), 0, &op, &error));
        UTF8_REFUSED(dxdr_call_start(w.request, TEXT(json), 0, &op, &error));
        UTF8_REFUSED(dxdr_op_reply(w.op, 1, TEXT(bad[i]), &error));
    }
    UTF8_REFUSED(dxdr_secret_new_utf16(lone, 3, &secret, &error));
    UTF8_REFUSED(dxdr_secret_new_utf16(lone, 2, &secret, &error));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    end_world(&w);
    return failed;
}

/* Refused by the number alone, before a byte is read. */
static int impossible_lengths_are_refused(void)
{
    int failed = 1;
    const size_t lengths[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX / 2 + 1, (size_t)1 << 30, ((size_t)16 << 20) + 1};
    const uint8_t *one = (const uint8_t *)"x";
    const uint16_t unit = 'x';
    const size_t limit = (size_t)16 << 20;
    uint8_t *large = malloc(limit);
    struct world w;
    dxdr_buf *out = NULL, *error = NULL;
    dxdr_op *op = NULL;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_secret *secret = NULL;
    if (make_world(&w) != 0) {
        free(large);
        return 1;
    }
#define LENGTH_REFUSED(call)                                    \
    do {                                                        \
        REQUIRE_STATUS(DXDR_STATUS_TOO_LARGE, call);            \
        REQUIRE(code_of(error) == DXDR_STATUS_TOO_LARGE);       \
        drop_buf(&error);                                       \
    } while (0)
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        LENGTH_REFUSED(dxdr_secret_new_utf8(one, lengths[i], &secret, &error));
        LENGTH_REFUSED(dxdr_secret_new_utf16(&unit, lengths[i], &secret, &error));
        LENGTH_REFUSED(dxdr_client_new(one, lengths[i], &client, &error));
        LENGTH_REFUSED(dxdr_client_accounts_start(w.client, one, lengths[i], 0, &op, &error));
        LENGTH_REFUSED(dxdr_request_new(w.client, one, lengths[i], &request, &error));
        LENGTH_REFUSED(dxdr_request_set_secret(w.request, one, lengths[i], w.secret, &error));
        LENGTH_REFUSED(dxdr_decode_claims(one, lengths[i], &out, &error));
        LENGTH_REFUSED(dxdr_get_incidents(w.request, one, lengths[i], 0, NULL, &out, &error));
        LENGTH_REFUSED(dxdr_list_incidents_start(w.request, one, lengths[i], 0, &op, &error));
        LENGTH_REFUSED(dxdr_get_incident_start(w.request, one, lengths[i], 0, &op, &error));
        LENGTH_REFUSED(dxdr_call_start(w.request, one, lengths[i], 0, &op, &error));
        LENGTH_REFUSED(dxdr_op_reply(w.op, 1, one, lengths[i], &error));
    }
    LENGTH_REFUSED(dxdr_secret_new_utf16(&unit, (limit >> 1) + 1, &secret, &error));
    /* The limit itself is not over it; a token has a smaller one of its own. */
    REQUIRE(large != NULL);
    memset(large, 'x', limit);
    REQUIRE_OK(dxdr_secret_new_utf8(large, limit, &secret, &error));
    LENGTH_REFUSED(dxdr_decode_claims(large, (256u << 10) + 1, &out, &error));
    failed = 0;
cleanup:
    free(large);
    dxdr_secret_free(secret);
    dxdr_buf_free(error);
    end_world(&w);
    return failed;
}

/* A NUL is part of a secret and of no other text. */
static int embedded_nuls(void)
{
    int failed = 1;
    static const char json[] = "{\"grant\":\"access_token\"}\0";
    static const uint16_t units[] = {'a', 0, 'b'};
    struct world w;
    dxdr_buf *out = NULL, *error = NULL;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_secret *secret = NULL;
    dxdr_op *op = NULL;
    if (make_world(&w) != 0) {
        return 1;
    }
    REQUIRE_OK(dxdr_secret_new_utf8((const uint8_t *)"a\0b", 3, &secret, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(secret));
    secret = NULL;
    REQUIRE_OK(dxdr_secret_new_utf16(units, 3, &secret, &error));
#define NUL_REFUSED(call)                                                          \
    do {                                                                           \
        REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, call);                            \
        REQUIRE(code_of(error) == DXDR_STATUS_BAD_ARGUMENT);                       \
        drop_buf(&error);                                                          \
    } while (0)
    NUL_REFUSED(dxdr_client_new((const uint8_t *)"{\"cache\":\"a\0b\"}", 15, &client, &error));
    NUL_REFUSED(dxdr_client_new((const uint8_t *)"\0", 1, &client, &error));
    NUL_REFUSED(dxdr_request_new(w.client, (const uint8_t *)json, sizeof json - 1, &request, &error));
    NUL_REFUSED(dxdr_request_set_secret(w.request, (const uint8_t *)"access_token\0", 13, w.secret, &error));
    NUL_REFUSED(dxdr_get_incidents(w.request, (const uint8_t *)"{}\0", 3, 0, NULL, &out, &error));
    NUL_REFUSED(dxdr_list_incidents_start(w.request, (const uint8_t *)"{}\0", 3, 0, &op, &error));
    NUL_REFUSED(dxdr_get_incident_start(w.request, (const uint8_t *)"{\"id\":1}\0", 9, 0, &op, &error));
    REQUIRE(dxdr_decode_claims((const uint8_t *)EMPTY_JWT "\0", strlen(EMPTY_JWT) + 1, &out, &error) / 1000 == 8 && out == NULL);
    failed = 0;
cleanup:
    dxdr_secret_free(secret);
    dxdr_buf_free(error);
    end_world(&w);
    return failed;
}

/* A typo is an error that names it, not a setting that is silently not made. */
static int unknown_keys_are_named(void)
{
    int failed = 1;
    struct world w;
    dxdr_buf *out = NULL, *error = NULL;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_op *op = NULL;
    if (make_world(&w) != 0) {
        return 1;
    }
#define KEY_NAMED(key, call)                                                       \
    do {                                                                           \
        REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, call);                            \
        REQUIRE_HOLDS(text_of(error), key);                                        \
        drop_buf(&error);                                                          \
    } while (0)
    KEY_NAMED("cahce", dxdr_client_new(TEXT("{\"cahce\":\"private\"}"), &client, &error));
    KEY_NAMED("cleint_id", dxdr_client_accounts_start(w.client, TEXT("{\"accounts\":\"list\",\"cleint_id\":\"x\"}"), 0, &op, &error));
    KEY_NAMED("cleint_id", dxdr_request_new(w.client, TEXT("{\"grant\":\"access_token\",\"cleint_id\":\"x\"}"), &request, &error));
    KEY_NAMED("kind", dxdr_request_new(w.client, TEXT("{\"grant\":\"access_token\",\"user\":{\"id\":\"x\",\"kind\":\"x\"}}"), &request, &error));
    KEY_NAMED("fliter", dxdr_get_incidents(w.request, TEXT("{\"fliter\":\"x\"}"), 0, NULL, &out, &error));
    KEY_NAMED("fliter", dxdr_list_incidents_start(w.request, TEXT("{\"fliter\":\"x\"}"), 0, &op, &error));
    KEY_NAMED("ID", dxdr_get_incident_start(w.request, TEXT("{\"ID\":1}"), 0, &op, &error));
    KEY_NAMED("fliter", dxdr_call_start(w.request, TEXT("{\"operation\":\"alerts.list\",\"fliter\":\"x\"}"), 0, &op, &error));
    /* A secret in a document is such a key, and its value is not repeated. */
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT,
                   dxdr_request_new(w.client, TEXT("{\"grant\":\"client_credentials\",\"client_secret\":\"" APP_SECRET "\"}"), &request, &error));
    REQUIRE_HOLDS(text_of(error), "client_secret");
    REQUIRE(strstr(text_of(error), APP_SECRET) == NULL);
    drop_buf(&error);
    failed = 0;
cleanup:
    dxdr_buf_free(out);
    dxdr_buf_free(error);
    end_world(&w);
    return failed;
}

/* What is no object, or holds a wrong value, is refused whichever document it is; all of it is tried before the check fails. */
static int documents_are_objects_with_right_values(void)
{
    static const char *const never[] = {"[]", "[null]", "[\"x\"]", "null", "1", "\"x\"", "{", "{}{}", "{}x"};
    static const char *const settings[] = {"{\"cache\":1}", "{\"cache\":\"\"}", "{\"timeout_ms\":0}", "{\"timeout_ms\":-1}", "{\"timeout_ms\":86400001}",
                                           "{\"timeout_ms\":1.5}", "{\"connect_timeout_ms\":0}", "{\"ca_file\":\"relative.pem\"}",
                                           "{\"ca_file\":\"/does/not/exist.pem\"}", "{\"proxy\":\"nowhere\"}", "{\"proxy\":\"http://user:pw@host:1\"}",
                                           "{\"application\":\"line\\nbreak\"}", "{\"cache\":\"a\",\"cache\":\"b\"}"};
    static const char *const queries[] = {"{\"top\":0}", "{\"top\":101}", "{\"top\":\"5\"}", "{\"skip\":-1}", "{\"first\":0}", "{\"items\":\"lines\"}",
                                          "{\"base_url\":\"https://example.com\"}", "{\"base_url\":\"http://api.security.microsoft.com\"}"};
    static const char *const ids[] = {"{}", "{\"id\":0}", "{\"id\":-5}", "{\"id\":\"7\"}", "{\"id\":7.5}"};
    int failed = 0;
    struct world w;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_op *op = NULL;
    dxdr_buf *out = NULL;
    if (make_world(&w) != 0) {
        return 1;
    }
#define BAD(document, call)                                                                                                        \
    do {                                                                                                                           \
        const int32_t bad_ = (call);                                                                                               \
        if (bad_ != DXDR_STATUS_BAD_ARGUMENT) {                                                                                    \
            fprintf(stderr, "%s:%d: %s gave %s for %s\n", __FILE__, __LINE__, #call, dxdr_status_name(bad_), document);            \
            failed = 1;                                                                                                            \
        }                                                                                                                          \
    } while (0)
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        BAD(never[i], dxdr_client_new(TEXT(never[i]), &client, NULL));
        BAD(never[i], dxdr_request_new(w.client, TEXT(never[i]), &request, NULL));
        BAD(never[i], dxdr_list_incidents_start(w.request, TEXT(never[i]), 0, &op, NULL));
        BAD(never[i], dxdr_get_incident_start(w.request, TEXT(never[i]), 0, &op, NULL));
    }
    BAD("a list of values", dxdr_request_new(w.client, TEXT("[\"access_token\"]"), &request, NULL));
    BAD("a list of values", dxdr_get_incident_start(w.request, TEXT("[1]"), 0, &op, NULL));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        BAD(settings[i], dxdr_client_new(TEXT(settings[i]), &client, NULL));
    }
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        BAD(queries[i], dxdr_list_incidents_start(w.request, TEXT(queries[i]), 0, &op, NULL));
        BAD(queries[i], dxdr_get_incidents(w.request, TEXT(queries[i]), 0, NULL, &out, NULL));
    }
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        BAD(ids[i], dxdr_get_incident_start(w.request, TEXT(ids[i]), 0, &op, NULL));
    }
    end_world(&w);
    return failed;
}

static int empty_documents(void)
{
    int failed = 1;
    struct world w;
    dxdr_buf *out = NULL, *error = NULL;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_secret *secret = NULL;
    dxdr_op *op = NULL;
    dxdr_token *token = NULL;
    if (make_world(&w) != 0) {
        return 1;
    }
    REQUIRE_OK(dxdr_client_new(NULL, 0, &client, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_free(client));
    REQUIRE_OK(dxdr_client_new(TEXT("{}"), &client, &error));
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_request_new(w.client, NULL, 0, &request, &error));
    REQUIRE_HOLDS(text_of(error), "grant");
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_get_incident_start(w.request, NULL, 0, 0, &op, &error));
    REQUIRE_HOLDS(text_of(error), "id");
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_NOT_JWT, dxdr_decode_claims(NULL, 0, &out, &error));
    drop_buf(&error);
    /* An empty secret can be made, since nothing is known of its use; it can be used for nothing. */
    REQUIRE_OK(dxdr_secret_new_utf8(NULL, 0, &secret, &error));
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_request_set_secret(w.request, TEXT("access_token"), secret, &error));
    drop_buf(&error);
    /* A request that lacks its secret fails at the call, and says which. */
    REQUIRE_OK(dxdr_request_new(w.client, TEXT("{\"grant\":\"access_token\"}"), &request, &error));
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE_HOLDS(text_of(error), "access_token");
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(op == NULL);
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_get_incidents(request, NULL, 0, 0, NULL, &out, &error));
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_list_incidents_start(request, NULL, 0, 0, &op, &error));
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_request_set_secret(request, TEXT("password"), w.secret, &error));
    REQUIRE_HOLDS(text_of(error), "password");
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_request_set_secret(request, NULL, 0, w.secret, &error));
    failed = 0;
cleanup:
    dxdr_secret_free(secret);
    dxdr_request_free(request);
    dxdr_client_free(client);
    dxdr_buf_free(error);
    end_world(&w);
    return failed;
}

static int error_documents_are_whole(void)
{
    static const char *const keys[] = {"code", "name", "message", "hint", "aadsts", "oauth_error", "suberror", "http_status", "retryable",
                                       "retry_after_ms", "correlation_id", "trace_id", "claims"};
    int failed = 1;
    char key[40];
    dxdr_buf *error = SENTINEL(dxdr_buf), *out = NULL;
    const uint8_t *data = NULL;
    size_t len = 0;
    REQUIRE_STATUS(DXDR_STATUS_NOT_JWT, dxdr_decode_claims(TEXT("not a token\nat all"), &out, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_buf_get(error, &data, &len));
    REQUIRE(len == strlen((const char *)data) && data[len] == 0);
    REQUIRE(data[0] == '{' && data[len - 1] == '}' && strchr((const char *)data, '\n') == NULL);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "\"%s\":", keys[i]);
        REQUIRE_HOLDS((const char *)data, key);
    }
    REQUIRE_HOLDS((const char *)data, "\"code\":8000,\"name\":\"NOT_JWT\"");
    drop_buf(&error);
    /* On success there is none, whatever stood there before. */
    error = SENTINEL(dxdr_buf);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_decode_claims(TEXT(EMPTY_JWT), &out, &error));
    REQUIRE(error == NULL);
    REQUIRE_HOLDS(text_of(out), "\"verified\":false");
    drop_buf(&out);
    /* And nobody has to want it. */
    REQUIRE_STATUS(DXDR_STATUS_NOT_JWT, dxdr_decode_claims(TEXT("x"), &out, NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_decode_claims(TEXT("Bearer " EMPTY_JWT), &out, NULL));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(out);
    return failed;
}

static int tokens_that_cannot_be_read(void)
{
    static const struct {
        const char *text;
        int32_t status;
    } cases[] = {
        {"x", DXDR_STATUS_NOT_JWT},         {"a.b", DXDR_STATUS_NOT_JWT},           {"a.b.c.d.e", DXDR_STATUS_ENCRYPTED}, {"!.e30.", DXDR_STATUS_BAD_BASE64},
        {"e30.W10.", DXDR_STATUS_BAD_JSON}, {"e30.bm8ganNvbg.", DXDR_STATUS_BAD_JSON}, {"Bearer ", DXDR_STATUS_NOT_JWT},
    };
    dxdr_buf *out = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int32_t status = dxdr_decode_claims(TEXT(cases[i].text), &out, NULL);
        if (status != cases[i].status || out != NULL) {
            fprintf(stderr, "%s gave %s\n", cases[i].text, dxdr_status_name(status));
            dxdr_buf_free(out);
            return 1;
        }
    }
    return 0;
}

/* Out slots that were used before do not have to be cleared by the caller. */
static int an_access_token_of_the_callers_own(void)
{
    int failed = 1;
    struct world w;
    const uint8_t *data = NULL;
    size_t len = 0;
    int64_t when = 0;
    int32_t state = 0;
    dxdr_buf *json = NULL, *error = NULL;
    dxdr_token *token = SENTINEL(dxdr_token);
    if (make_world(&w) != 0) {
        return 1;
    }
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_value(w.token, &data, &len));
    REQUIRE(len == strlen(EMPTY_JWT) && memcmp(data, EMPTY_JWT, len + 1) == 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_id_token(w.token, &data, &len));
    REQUIRE(data == NULL && len == 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_expires_on(w.token, &when));
    REQUIRE(when > 1700000000);
    REQUIRE_OK(dxdr_token_describe(w.token, &json, &error));
    REQUIRE_HOLDS(text_of(json), "\"source\":\"caller\"");
    REQUIRE(strstr(text_of(json), EMPTY_JWT) == NULL);
    drop_buf(&json);
    REQUIRE_OK(dxdr_request_describe(w.request, &json, &error));
    REQUIRE_HOLDS(text_of(json), "\"secrets_needed\":[\"access_token\"],\"secrets_taken\":[\"access_token\"],\"secrets_set\":[\"access_token\"]");
    drop_buf(&json);
    REQUIRE_OK(dxdr_cached_token(w.request, &token, &error));
    REQUIRE(token == NULL);
    /* The operation of the same: nothing to ask, a token to take, as often as it is asked for. */
    do {
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(w.op, LONG_MS, &state));
        if (state == DXDR_OP_STATE_EVENT) {
            REQUIRE_OK(dxdr_op_take_event(w.op, &json, &error));
            REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_op_reply(w.op, (uint64_t)json_number(text_of(json), "id"), TEXT("x"), NULL));
            drop_buf(&json);
        }
    } while (state == DXDR_OP_STATE_EVENT);
    REQUIRE(state == DXDR_OP_STATE_DONE);
    for (int round = 0; round < 2; round++) {
        REQUIRE_OK(dxdr_op_take_token(w.op, &token, &error));
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    }
    json = SENTINEL(dxdr_buf);
    REQUIRE_OK(dxdr_op_take_event(w.op, &json, &error));
    REQUIRE(json == NULL);
    json = SENTINEL(dxdr_buf);
    REQUIRE_OK(dxdr_op_take_item(w.op, &json, &error));
    REQUIRE(json == NULL);
    json = SENTINEL(dxdr_buf);
    REQUIRE_OK(dxdr_op_take_error(w.op, &json, &error));
    REQUIRE(json == NULL);
    /* A terminal state stays, also when it is cancelled late. */
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_cancel(w.op));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(w.op, LONG_MS, &state));
    REQUIRE(state == DXDR_OP_STATE_DONE);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_clear_cache(w.client, NULL));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    end_world(&w);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(version_and_abi);
    RUN(status_names);
    RUN(free_of_null_does_nothing);
    RUN(double_free_is_a_status);
    RUN(made_up_handles_are_refused);
    RUN(foreign_handles_are_refused);
    RUN(null_is_a_status_everywhere);
    RUN(bad_utf8_is_a_status);
    RUN(impossible_lengths_are_refused);
    RUN(embedded_nuls);
    RUN(unknown_keys_are_named);
    RUN(documents_are_objects_with_right_values);
    RUN(empty_documents);
    RUN(error_documents_are_whole);
    RUN(tokens_that_cannot_be_read);
    RUN(an_access_token_of_the_callers_own);
    PROGRAM_END;
}
