/*
 * The contract: a token is got the way the request says (an app by its secret, a person at the browser, a refresh token, a token brought along), is
 * cached, described and decoded, and what goes wrong is said with its cause and the next step. No secret and no token stands in an error document
 * or a description.
 */
#include "check.h"

#include "operation.h"
#include "wire.h"

#include <inttypes.h>

#define REQUEST(fields) "{\"tenant_id\":\"" TENANT "\",\"resource\":\"" API "\"," fields "}"
#define AS_APP "\"grant\":\"client_credentials\",\"client_id\":\"" APP "\""
#define AS_PERSON "\"grant\":\"authorization_code\",\"client_id\":\"" PUBLIC_APP "\""

/* An app's token by v1 or v2 endpoints: from the network, then from the cache, then cleared. */
static int app_token(const char *json, const char *dialect)
{
    int failed = 1;
    char text[64];
    int64_t expires = 0;
    const uint8_t *id_token = NULL;
    size_t id_len = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, json, "client_secret", APP_SECRET);
    dxdr_token *token = NULL, *again = NULL;
    dxdr_buf *error = NULL, *about = NULL, *claims = NULL;
    REQUIRE(emulator_reset() == 0 && request != NULL);
    REQUIRE_OK(dxdr_cached_token(request, &token, &error));
    REQUIRE(token == NULL);
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE(count_of(value_of(token), ".") == 2);

    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_expires_on(token, &expires));
    REQUIRE(expires > (int64_t)time(NULL) + 3000 && expires < (int64_t)time(NULL) + 4000);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_id_token(token, &id_token, &id_len));
    REQUIRE(id_token == NULL && id_len == 0);
    REQUIRE_OK(dxdr_token_describe(token, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"grant\":\"client_credentials\"");
    REQUIRE_HOLDS(text_of(about), "\"source\":\"network\"");
    REQUIRE_HOLDS(text_of(about), "\"user\":null");
    REQUIRE_HOLDS(text_of(about), dialect);
    snprintf(text, sizeof text, "\"expires_on\":%" PRId64, expires);
    REQUIRE_HOLDS(text_of(about), text);
    REQUIRE(strstr(text_of(about), value_of(token)) == NULL);

    REQUIRE_OK(dxdr_decode_claims(TEXT(value_of(token)), &claims, &error));
    REQUIRE_HOLDS(text_of(claims), "\"kind\":\"access_token\"");
    REQUIRE_HOLDS(text_of(claims), "\"permission_kind\":\"application\"");
    REQUIRE_HOLDS(text_of(claims), "Incident.Read.All");
    REQUIRE_HOLDS(text_of(claims), "\"app_id\":\"" APP "\"");
    REQUIRE_HOLDS(text_of(claims), "\"state\":\"valid\"");

    /* Now the cache has it. */
    REQUIRE_OK(dxdr_cached_token(request, &again, &error));
    REQUIRE(again != NULL && strcmp(value_of(again), value_of(token)) == 0);
    drop_buf(&about);
    REQUIRE_OK(dxdr_token_describe(again, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"source\":\"cache\"");
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(again));
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &again, &error));
    REQUIRE(strcmp(value_of(again), value_of(token)) == 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(again));
    again = NULL;
    REQUIRE(emulator_asked("/token\"") == 1);

    REQUIRE_OK(dxdr_client_clear_cache(client, &error));
    REQUIRE_OK(dxdr_cached_token(request, &again, &error));
    REQUIRE(again == NULL);
    /* What was handed out stays good. */
    REQUIRE(count_of(value_of(token), ".") == 2);
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_buf_free(claims);
    dxdr_token_free(token);
    dxdr_token_free(again);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int an_app_by_its_secret_v1(void)
{
    return app_token(REQUEST(AS_APP), "\"dialect\":\"v1\"");
}

static int an_app_by_its_secret_v2(void)
{
    return app_token("{\"tenant_id\":\"" TENANT "\",\"scopes\":[\"" API "/.default\"]," AS_APP "}", "\"dialect\":\"v2\"");
}

/* The secret is the credential, however it came in. */
static int utf16_is_the_same_secret(void)
{
    int failed = 1;
    uint16_t units[sizeof APP_SECRET];
    dxdr_client *client = private_client();
    dxdr_request *narrow = app_request(client), *wide = NULL;
    dxdr_secret *secret = NULL;
    dxdr_token *token = NULL, *again = NULL;
    dxdr_buf *error = NULL;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        units[i] = (unsigned char)APP_SECRET[i];
    }
    REQUIRE(emulator_reset() == 0);
    REQUIRE_OK(dxdr_request_new(client, TEXT(REQUEST(AS_APP)), &wide, &error));
    REQUIRE_OK(dxdr_secret_new_utf16(units, sizeof units / sizeof *units - 1, &secret, &error));
    REQUIRE_OK(dxdr_request_set_secret(wide, TEXT("client_secret"), secret, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(secret));
    secret = NULL;
    REQUIRE_OK(dxdr_acquire_token(narrow, 0, NULL, &token, &error));
    REQUIRE_OK(dxdr_cached_token(wide, &again, &error));
    REQUIRE(again != NULL && strcmp(value_of(again), value_of(token)) == 0);
    failed = 0;
cleanup:
    dxdr_secret_free(secret);
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_token_free(again);
    dxdr_request_free(narrow);
    dxdr_request_free(wide);
    dxdr_client_free(client);
    return failed;
}

static int refused(const char *secret, int32_t want, const char *aadsts)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(AS_APP), "client_secret", secret);
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *about = NULL;
    dxdr_op *op = NULL;
    REQUIRE(request != NULL);
    REQUIRE_STATUS(want, dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE(token == NULL && code_of(error) == want);
    REQUIRE_HOLDS(text_of(error), aadsts);
    REQUIRE(strstr(text_of(error), "\"hint\":null") == NULL);
    REQUIRE_HOLDS(text_of(error), "\"retryable\":false");
    REQUIRE(strstr(text_of(error), "\"correlation_id\":null") == NULL);
    REQUIRE(strstr(text_of(error), secret) == NULL);
    drop_buf(&error);
    /* An operation says the same, as its own failure. */
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_FAILED);
    REQUIRE_STATUS(DXDR_STATUS_BUSY, dxdr_op_take_token(op, &token, &error));
    drop_buf(&error);
    REQUIRE_OK(dxdr_op_take_error(op, &about, &error));
    REQUIRE(code_of(about) == want && strstr(text_of(about), secret) == NULL);
    failed = 0;
cleanup:
    dxdr_op_free(op);
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int a_wrong_secret_says_so_and_is_not_repeated(void)
{
    return refused("a-secret~that.is-wrong/for&sure", DXDR_STATUS_BAD_SECRET, "\"aadsts\":7000215");
}

static int an_expired_secret_says_so(void)
{
    return refused("emu8Q~runbook.secret.that.has.expired", DXDR_STATUS_SECRET_EXPIRED, "\"aadsts\":7000222");
}

static int cache_only_and_skip(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *only = request_with(client, REQUEST(AS_APP ",\"cache\":\"only\""), "client_secret", APP_SECRET);
    dxdr_request *skip = request_with(client, REQUEST(AS_APP ",\"cache\":\"skip\""), "client_secret", APP_SECRET);
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    REQUIRE(only != NULL && skip != NULL && emulator_reset() == 0);
    REQUIRE_STATUS(DXDR_STATUS_INTERACTION_REQUIRED, dxdr_acquire_token(only, 0, NULL, &token, &error));
    REQUIRE(token == NULL && emulator_asked("/token\"") == 0);
    drop_buf(&error);
    for (int round = 1; round <= 2; round++) {
        REQUIRE_OK(dxdr_acquire_token(skip, 0, NULL, &token, &error));
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
        token = NULL;
        REQUIRE(emulator_asked("/token\"") == round);
    }
    REQUIRE_OK(dxdr_acquire_token(only, 0, NULL, &token, &error));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_request_free(only);
    dxdr_request_free(skip);
    dxdr_client_free(client);
    return failed;
}

/* Two clients of one process that name the same cache share its tokens; "private" shares with nobody. */
static int caches_by_name(void)
{
    int failed = 1;
    dxdr_client *one = NULL, *two = NULL, *own = private_client();
    dxdr_request *first = NULL, *second = NULL, *third = NULL;
    dxdr_token *token = NULL, *shared = NULL, *none = NULL;
    dxdr_buf *error = NULL;
    REQUIRE_OK(dxdr_client_new(TEXT("{\"cache\":\"of-this-check\"}"), &one, &error));
    REQUIRE_OK(dxdr_client_new(TEXT("{\"cache\":\"of-this-check\"}"), &two, &error));
    first = app_request(one), second = app_request(two), third = app_request(own);
    REQUIRE_OK(dxdr_acquire_token(first, 0, NULL, &token, &error));
    REQUIRE_OK(dxdr_cached_token(second, &shared, &error));
    REQUIRE(shared != NULL && strcmp(value_of(shared), value_of(token)) == 0);
    REQUIRE_OK(dxdr_cached_token(third, &none, &error));
    REQUIRE(none == NULL);
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_token_free(shared);
    dxdr_token_free(none);
    dxdr_request_free(first);
    dxdr_request_free(second);
    dxdr_request_free(third);
    dxdr_client_free(one);
    dxdr_client_free(two);
    dxdr_client_free(own);
    return failed;
}

static int a_token_brought_along(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *app = app_request(client), *request = NULL;
    dxdr_token *token = NULL, *same = NULL;
    dxdr_buf *error = NULL, *page = NULL;
    REQUIRE(emulator_reset() == 0);
    REQUIRE_OK(dxdr_acquire_token(app, 0, NULL, &token, &error));
    request = request_with(client, "{\"grant\":\"access_token\"}", "access_token", value_of(token));
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &same, &error));
    REQUIRE(strcmp(value_of(same), value_of(token)) == 0);
    REQUIRE_OK(dxdr_get_incidents(request, NULL, 0, 0, NULL, &page, &error));
    drop_buf(&page);
    /* One that the API refuses cannot be renewed. */
    REQUIRE(emulator_faults("[{\"match\":{\"path_contains\":\"/api/incidents\"},\"do\":{\"revoke_access_tokens\":true}}]") == 0);
    REQUIRE_STATUS(DXDR_STATUS_UNAUTHORIZED, dxdr_get_incidents(request, NULL, 0, 0, NULL, &page, &error));
    REQUIRE(page == NULL && strstr(text_of(error), value_of(token)) == NULL);
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(page);
    dxdr_token_free(token);
    dxdr_token_free(same);
    dxdr_request_free(app);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* A refresh token as another program would have got it; to be freed. */
static char *someones_refresh_token(void)
{
    uint16_t port = 0;
    char key[128], url[512], form[2048];
    struct answer answer = {0, NULL, NULL, 0};
    char *landed = NULL, *code = NULL, *result = NULL;
    REQUIRE(emulator(&port, key) == 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/login.microsoftonline.com/" TENANT "/oauth2/authorize?response_type=code&client_id=" PUBLIC_APP
             "&redirect_uri=http%%3A%%2F%%2Flocalhost%%3A4711&resource=https%%3A%%2F%%2Fapi.security.microsoft.com&state=s", (unsigned)port);
    landed = browse(url, "http://localhost:4711");
    REQUIRE(landed != NULL && strstr(landed, "code=") != NULL);
    code = strdup(strstr(landed, "code=") + 5);
    REQUIRE(code != NULL);
    code[strcspn(code, "&")] = '\0';
    snprintf(form, sizeof form, "grant_type=authorization_code&client_id=" PUBLIC_APP "&redirect_uri=http%%3A%%2F%%2Flocalhost%%3A4711&code=%s", code);
    REQUIRE(ask(port, "POST", "/login.microsoftonline.com/" TENANT "/oauth2/token", "Content-Type: application/x-www-form-urlencoded\r\n", form, &answer) == 0);
    result = json_text(answer.body, "refresh_token");
    if (result == NULL) {
        fprintf(stderr, "%s\n", answer.body);
    }
cleanup:
    free(landed);
    free(code);
    drop_answer(&answer);
    return result;
}

static int a_refresh_token(void)
{
    int failed = 1;
    static const char json[] = REQUEST("\"grant\":\"refresh_token\",\"client_id\":\"" PUBLIC_APP "\"");
    static const char wrong[] = "0.AXwA-not-a-refresh-token-of-anyone";
    dxdr_client *client = private_client(), *other = private_client();
    dxdr_request *request = NULL, *bad = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *about = NULL;
    char *refresh_token = NULL;
    REQUIRE(emulator_reset() == 0);
    refresh_token = someones_refresh_token();
    REQUIRE(refresh_token != NULL);
    request = request_with(client, json, "refresh_token", refresh_token);
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE_OK(dxdr_token_describe(token, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"displayable_id\":\"adele@fabrikam.example\"");
    REQUIRE_HOLDS(text_of(about), "\"tenant_id\":\"" TENANT "\"");
    REQUIRE(strstr(text_of(about), refresh_token) == NULL);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    bad = request_with(other, json, "refresh_token", wrong);
    REQUIRE_STATUS(DXDR_STATUS_INVALID_GRANT, dxdr_acquire_token(bad, 0, NULL, &token, &error));
    REQUIRE(strstr(text_of(error), wrong) == NULL && strstr(text_of(error), "\"hint\":null") == NULL);
    failed = 0;
cleanup:
    free(refresh_token);
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_request_free(bad);
    dxdr_client_free(client);
    dxdr_client_free(other);
    return failed;
}

/* Takes the token of a person's sign-in that is done, and looks at it. */
static int adele_signed_in(dxdr_op *op)
{
    int failed = 1;
    const uint8_t *id_token = NULL;
    size_t len = 0;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *about = NULL, *claims = NULL;
    REQUIRE(last_state(op) == DXDR_OP_STATE_DONE);
    REQUIRE_OK(dxdr_op_take_token(op, &token, &error));
    REQUIRE_OK(dxdr_token_describe(token, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"source\":\"interaction\"");
    REQUIRE_HOLDS(text_of(about), "\"displayable_id\":\"adele@fabrikam.example\"");
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_id_token(token, &id_token, &len));
    REQUIRE(id_token != NULL && len == strlen((const char *)id_token));
    REQUIRE_OK(dxdr_decode_claims(id_token, len, &claims, &error));
    REQUIRE_HOLDS(text_of(claims), "\"kind\":\"id_token\"");
    drop_buf(&claims);
    REQUIRE_OK(dxdr_decode_claims(TEXT(value_of(token)), &claims, &error));
    REQUIRE_HOLDS(text_of(claims), "\"permission_kind\":\"delegated\"");
    REQUIRE_HOLDS(text_of(claims), "Incident.Read");
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_buf_free(claims);
    dxdr_token_free(token);
    return failed;
}

/* The host shows the page itself (an embedded browser, say) and hands over the address it caught. */
static int a_person_and_a_host_that_catches_the_redirect(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(AS_PERSON), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *error = NULL;
    dxdr_token *token = NULL;
    char *url = NULL, *redirect_uri = NULL, *landed = NULL;
    REQUIRE(emulator_reset() == 0);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "open_browser", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(event), "\"reply\":\"optional\"");
    url = json_text(text_of(event), "url");
    redirect_uri = json_text(text_of(event), "redirect_uri");
    REQUIRE(url != NULL && redirect_uri != NULL);
    REQUIRE_HOLDS(redirect_uri, "http://localhost:");
    landed = browse(url, redirect_uri);
    REQUIRE(landed != NULL);
    REQUIRE_STATUS(DXDR_STATUS_BUSY, dxdr_op_take_token(op, &token, NULL));
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_op_reply(op, 987654321, TEXT(landed), NULL));
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(landed), &error));
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(landed), &error));
    REQUIRE(strstr(text_of(error), "code=") == NULL);
    drop_buf(&error);
    REQUIRE(adele_signed_in(op) == 0);
    REQUIRE(port_closes((uint16_t)strtoul(redirect_uri + strlen("http://localhost:"), NULL, 10)));
    /* From now on silently. */
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    failed = 0;
cleanup:
    free(url);
    free(redirect_uri);
    free(landed);
    dxdr_op_free(op);
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* The host opens the page in a browser of its own choice, whose redirect comes to the library's listener. */
static int a_person_and_a_host_that_opens_the_browser(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(AS_PERSON ",\"redirect_uri\":\"http://127.0.0.1\",\"prompt\":\"select_account\""), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *error = NULL;
    struct answer answer = {0, NULL, NULL, 0};
    char *url = NULL, *redirect_uri = NULL, *landed = NULL;
    REQUIRE(emulator_reset() == 0);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "open_browser", &event) == DXDR_OP_STATE_EVENT);
    url = json_text(text_of(event), "url");
    redirect_uri = json_text(text_of(event), "redirect_uri");
    REQUIRE_HOLDS(url, "prompt=select_account");
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT("opened"), &error));
    landed = browse(url, redirect_uri);
    REQUIRE(landed != NULL && strncmp(landed, "http://127.0.0.1:", 17) == 0);
    REQUIRE(ask((uint16_t)strtoul(landed + 17, NULL, 10), "GET", strchr(landed + 17, '/') ? strchr(landed + 17, '/') : "/", "", "", &answer) == 0);
    REQUIRE(answer.status == 200);
    REQUIRE(adele_signed_in(op) == 0);
    failed = 0;
cleanup:
    free(url);
    free(redirect_uri);
    free(landed);
    drop_answer(&answer);
    dxdr_op_free(op);
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

#define PORTAL AS_PERSON ",\"redirect_uri\":\"https://portal.azure.com\""

/* The walk-through's own redirect URI: a person pastes the address they landed on, and may err. */
static int a_person_who_pastes_the_address(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(PORTAL), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *again = NULL, *error = NULL;
    char *url = NULL, *landed = NULL;
    char foreign[] = "https://portal.azure.com/?code=abcdefghijkl&state=of-another-sign-in";
    REQUIRE(emulator_reset() == 0);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "paste_redirect", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(event), "\"reply\":\"required\"");
    REQUIRE_HOLDS(text_of(event), "\"redirect_uri\":\"https://portal.azure.com\"");
    url = json_text(text_of(event), "url");
    REQUIRE_HOLDS(url, "redirect_uri=https%3A%2F%2Fportal.azure.com&");
    /* Something else than an address. */
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT("I don't know what you mean"), &error));
    REQUIRE(next_event(op, "paste_redirect", &again) == DXDR_OP_STATE_EVENT);
    REQUIRE(json_number(text_of(again), "id") != json_number(text_of(event), "id"));
    REQUIRE_HOLDS(text_of(again), "That was not it");
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT("late"), &error));
    drop_buf(&error);
    drop_buf(&event);
    /* The address of another sign-in. */
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(again), "id"), TEXT(foreign), &error));
    REQUIRE(next_event(op, "paste_redirect", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE(strstr(text_of(event), "abcdefghijkl") == NULL);
    /* The right one. */
    landed = browse(url, "https://portal.azure.com");
    REQUIRE(landed != NULL);
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(landed), &error));
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(landed), NULL));
    REQUIRE(adele_signed_in(op) == 0);
    failed = 0;
cleanup:
    free(url);
    free(landed);
    dxdr_op_free(op);
    dxdr_buf_free(event);
    dxdr_buf_free(again);
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* Who pastes wrong things for ever is told so, and nothing is asked of the token endpoint. */
static int a_person_who_pastes_nonsense(void)
{
    int failed = 1, questions = 0;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(PORTAL), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *error = NULL, *about = NULL;
    REQUIRE(emulator_reset() == 0);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    while (next_event(op, "paste_redirect", &event) == DXDR_OP_STATE_EVENT) {
        REQUIRE(++questions < 10);
        REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT("https://portal.azure.com/#home"), &error));
        drop_buf(&event);
    }
    REQUIRE(last_state(op) == DXDR_OP_STATE_FAILED && questions > 1);
    REQUIRE_OK(dxdr_op_take_error(op, &about, &error));
    REQUIRE(code_of(about) == DXDR_STATUS_NO_CODE || code_of(about) == DXDR_STATUS_STATE_MISMATCH);
    REQUIRE(emulator_asked("/token\"") == 0);
    failed = 0;
cleanup:
    dxdr_op_free(op);
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int a_person_who_declines(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(PORTAL), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *error = NULL, *about = NULL;
    char *url = NULL, landed[512];
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "paste_redirect", &event) == DXDR_OP_STATE_EVENT);
    url = json_text(text_of(event), "url");
    REQUIRE_HOLDS(url, "&state=");
    snprintf(landed, sizeof landed, "https://portal.azure.com/?error=access_denied&error_description=AADSTS65004%%3A+User+declined+to+consent.&state=%.*s",
             (int)strcspn(strstr(url, "&state=") + 7, "&"), strstr(url, "&state=") + 7);
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(landed), &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_FAILED);
    REQUIRE_OK(dxdr_op_take_error(op, &about, &error));
    REQUIRE(code_of(about) == DXDR_STATUS_DECLINED);
    REQUIRE_HOLDS(text_of(about), "\"oauth_error\":\"access_denied\"");
    failed = 0;
cleanup:
    free(url);
    dxdr_op_free(op);
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* The blocking call has nobody to ask, and names the calls that can. */
static int the_blocking_call_cannot_ask_for_a_paste(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(PORTAL), NULL, NULL);
    dxdr_request *unattended = request_with(client, REQUEST(AS_PERSON ",\"interactive\":false"), NULL, NULL);
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *about = NULL;
    REQUIRE_STATUS(DXDR_STATUS_INTERACTION_REQUIRED, dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE(token == NULL);
    REQUIRE_HOLDS(text_of(error), "dxdr_acquire_token_start");
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_INTERACTION_REQUIRED, dxdr_acquire_token(unattended, 0, NULL, &token, &error));
    drop_buf(&error);
    REQUIRE_OK(dxdr_request_describe(request, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"redirect_kind\":\"other\"");
    REQUIRE_HOLDS(text_of(about), "\"client_id\":\"" PUBLIC_APP "\"");
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_request_free(unattended);
    dxdr_client_free(client);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(an_app_by_its_secret_v1);
    RUN(an_app_by_its_secret_v2);
    RUN(utf16_is_the_same_secret);
    RUN(a_wrong_secret_says_so_and_is_not_repeated);
    RUN(an_expired_secret_says_so);
    RUN(cache_only_and_skip);
    RUN(caches_by_name);
    RUN(a_token_brought_along);
    RUN(a_refresh_token);
    RUN(a_person_and_a_host_that_catches_the_redirect);
    RUN(a_person_and_a_host_that_opens_the_browser);
    RUN(a_person_who_pastes_the_address);
    RUN(a_person_who_pastes_nonsense);
    RUN(a_person_who_declines);
    RUN(the_blocking_call_cannot_ask_for_a_paste);
    PROGRAM_END;
}
