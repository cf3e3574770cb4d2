/*
 * The contract: whose tokens a cache holds is listed without any of them; an account that is signed out is gone; a refresh token leaves the cache by
 * the calls that say so. All of it is also an operation, which a keyring that never answers does not hold up; a look makes no files.
 */
#include "check.h"

#include "operation.h"
#include "wire.h"

#ifdef __linux__
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#endif

#define AS_ADELE(resource) "{\"tenant_id\":\"" TENANT "\",\"grant\":\"password\",\"client_id\":\"" PUBLIC_APP "\",\"username\":\"adele@" DOMAIN "\",\"resource\":\"" resource "\"}"

static int an_account_is_listed_used_and_signed_out(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, AS_ADELE(API), "password", "Walk-through-1");
    dxdr_request *graph = request_with(client, AS_ADELE("https://graph.microsoft.com"), "password", "Walk-through-1");
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *listed = NULL, *exported = NULL;
    REQUIRE(emulator_reset() == 0 && request != NULL && graph != NULL);
    REQUIRE_OK(dxdr_client_accounts(client, &listed, &error));
    REQUIRE_HOLDS(text_of(listed), "\"accounts\":[]");
    drop_buf(&listed);
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    token = NULL;
    /* The refresh token of the first serves the second. */
    REQUIRE_OK(dxdr_acquire_token(graph, 0, NULL, &token, &error));
    REQUIRE(emulator_asked("/token\"") == 2);
    REQUIRE(emulator_asked("refresh_token") > 0);

    REQUIRE_OK(dxdr_client_accounts(client, &listed, &error));
    REQUIRE_HOLDS(text_of(listed), "\"username\":\"adele@" DOMAIN "\"");
    REQUIRE_HOLDS(text_of(listed), "\"has_refresh_token\":true");
    REQUIRE_HOLDS(text_of(listed), "\"resource\":\"" API "\"");
    REQUIRE_HOLDS(text_of(listed), "\"resource\":\"https://graph.microsoft.com\"");
    REQUIRE_HOLDS(text_of(listed), "\"persisted\":false");
    REQUIRE(strstr(text_of(listed), value_of(token)) == NULL);

    REQUIRE_OK(dxdr_client_export_refresh_token(client, TEXT("adele@" DOMAIN), TEXT(PUBLIC_APP), &exported, &error));
    REQUIRE(strlen(text_of(exported)) > 100 && strstr(text_of(listed), text_of(exported)) == NULL);

    REQUIRE_OK(dxdr_client_remove_account(client, TEXT("adele@" DOMAIN), &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    token = NULL;
    REQUIRE_OK(dxdr_cached_token(graph, &token, &error));
    REQUIRE(token == NULL);
    REQUIRE_STATUS(DXDR_STATUS_ACCOUNT_NOT_FOUND, dxdr_client_remove_account(client, TEXT("adele@" DOMAIN), &error));
    REQUIRE(code_of(error) == DXDR_STATUS_ACCOUNT_NOT_FOUND);
    REQUIRE_HOLDS(text_of(error), "\"hint\":\"list the accounts");
    drop_buf(&error);
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(listed);
    dxdr_buf_free(exported);
    dxdr_token_free(token);
    dxdr_request_free(graph);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int the_same_is_done_by_operations(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, AS_ADELE(API), "password", "Walk-through-1");
    dxdr_token *token = NULL;
    dxdr_op *op = NULL;
    dxdr_buf *error = NULL, *event = NULL, *item = NULL;
    const char *wrong[] = {"{}", "{\"accounts\":\"lsit\"}", "{\"accounts\":\"list\",\"account\":\"x\"}", "{\"accounts\":\"remove\"}", "{\"accounts\":\"remove\",\"account\":\" \"}",
                           "{\"accounts\":\"clear\",\"client_id\":\"x\"}", "{\"accounts\":\"export_refresh_token\"}"};
    REQUIRE(emulator_reset() == 0 && request != NULL);
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));

    /* One event says what cache it is; then an item is an account. */
    REQUIRE_OK(dxdr_client_accounts_start(client, TEXT("{\"accounts\":\"list\"}"), 0, &op, &error));
    REQUIRE(next_event(op, "cache", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(event), "\"app_tokens\":[]");
    REQUIRE_HOLDS(text_of(event), "\"found\":null");
    REQUIRE(next_item(op, &item) == DXDR_OP_STATE_ITEM);
    REQUIRE_HOLDS(text_of(item), "\"username\":\"adele@" DOMAIN "\"");
    REQUIRE(strstr(text_of(item), value_of(token)) == NULL);
    drop_buf(&item);
    REQUIRE(last_state(op) == DXDR_OP_STATE_DONE);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));

    REQUIRE_OK(dxdr_client_accounts_start(client, TEXT("{\"accounts\":\"export_refresh_token\",\"account\":\"adele@" DOMAIN "\"}"), 0, &op, &error));
    REQUIRE(next_item(op, &item) == DXDR_OP_STATE_ITEM && length_of(item) > 100);
    REQUIRE(strstr(text_of(item), "{") == NULL);
    drop_buf(&item);
    REQUIRE(last_state(op) == DXDR_OP_STATE_DONE);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));

    for (int round = 0; round < 2; round++) {
        REQUIRE_OK(dxdr_client_accounts_start(client, TEXT("{\"accounts\":\"remove\",\"account\":\"adele@" DOMAIN "\"}"), 0, &op, &error));
        REQUIRE(last_state(op) == (round == 0 ? DXDR_OP_STATE_DONE : DXDR_OP_STATE_FAILED));
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_take_error(op, &item, NULL));
        REQUIRE(round == 0 ? item == NULL : code_of(item) == DXDR_STATUS_ACCOUNT_NOT_FOUND);
        drop_buf(&item);
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
    }
    op = NULL;

    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    token = NULL;
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    token = NULL;
    REQUIRE_OK(dxdr_client_accounts_start(client, TEXT("{\"accounts\":\"clear\"}"), 0, &op, &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_DONE);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
    op = NULL;
    REQUIRE_OK(dxdr_cached_token(request, &token, &error));
    REQUIRE(token == NULL);

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_client_accounts_start(client, TEXT(wrong[i]), 0, &op, &error));
        REQUIRE(op == NULL && code_of(error) == DXDR_STATUS_BAD_ARGUMENT);
        drop_buf(&error);
    }
    failed = 0;
cleanup:
    dxdr_op_free(op);
    dxdr_buf_free(error);
    dxdr_buf_free(event);
    dxdr_buf_free(item);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

#ifdef __linux__
static const char *place;
static int bus = -1;

/* The session's bus takes connections and never says a word. */
static int make_silent_bus(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char variable[160];
    /* A folder that goes with the test. */
    place = getenv("DXDR_TEST_FOLDER");
    if (place == NULL) {
        return -1;
    }
    snprintf(address.sun_path, sizeof address.sun_path, "%s/bus", place);
    snprintf(variable, sizeof variable, "unix:path=%s", address.sun_path);
    bus = socket(AF_UNIX, SOCK_STREAM, 0);
    return bus >= 0 && bind(bus, (struct sockaddr *)&address, sizeof address) == 0 && listen(bus, 16) == 0
                   && setenv("DBUS_SESSION_BUS_ADDRESS", variable, 1) == 0
               ? 0
               : -1;
}

static dxdr_client *client_of_cache(const char *name)
{
    char config[512];
    dxdr_client *client = NULL;
    snprintf(config, sizeof config, "{\"emulator\":\"\",\"cache\":{\"name\":\"%s\",\"persist\":true,\"directory\":\"%s/%s\"}}", name, place, name);
    dxdr_client_new(TEXT(config), &client, NULL);
    return client;
}

/* A file whose key only the Secret Service has. */
static int make_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", place, name);
    if (mkdir(path, 0700) != 0) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/%s/%s.cache", place, name, name);
    FILE *file = fopen(path, "w");
    if (file == NULL || chmod(path, 0600) != 0) {
        return -1;
    }
    fputs("{\"defender_xdr_cache\":\"1.0\",\"protection\":\"aes-256-gcm\",\"key\":{\"store\":\"secret_service\",\"id\":\"0\"},\"mark\":\"AAAAAAAAAAAAAAAA\"}\nx", file);
    return fclose(file);
}

static int a_keyring_that_never_answers_holds_nobody_up(void)
{
    static const char *const documents[][2] = {
        {"listed", "{\"accounts\":\"list\"}"},
        {"removed", "{\"accounts\":\"remove\",\"account\":\"x\"}"},
        {"cleared", "{\"accounts\":\"clear\"}"},
        {"exported", "{\"accounts\":\"export_refresh_token\",\"account\":\"x\"}"},
    };
    int failed = 1, connection = -1;
    dxdr_client *client = NULL;
    dxdr_op *op = NULL;
    dxdr_buf *error = NULL;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        REQUIRE(make_file(documents[i][0]) == 0);
        client = client_of_cache(documents[i][0]);
        REQUIRE(client != NULL);
        REQUIRE_OK(dxdr_client_accounts_start(client, TEXT(documents[i][1]), 0, &op, &error));
        /* The keyring is being asked. It would be waited for until SOON_MS are long over. */
        connection = accept_one(bus);
        REQUIRE(connection >= 0);
        const int64_t began = now_ms();
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_cancel(op));
        REQUIRE(last_state(op) == DXDR_OP_STATE_CANCELLED);
        REQUIRE(now_ms() - began < SOON_MS);
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_free(client));
        op = NULL;
        client = NULL;
        close(connection);
        connection = -1;
    }
    failed = 0;
cleanup:
    if (connection >= 0) {
        close(connection);
    }
    dxdr_op_free(op);
    dxdr_buf_free(error);
    dxdr_client_free(client);
    return failed;
}

static int a_look_at_a_cache_that_is_not_there_makes_nothing(void)
{
    static const char *const documents[] = {"{\"accounts\":\"list\"}", "{\"accounts\":\"clear\"}", "{\"accounts\":\"remove\",\"account\":\"x\"}"};
    int failed = 1;
    char path[256];
    dxdr_client *client = client_of_cache("misspelt");
    dxdr_op *op = NULL;
    dxdr_buf *error = NULL, *event = NULL, *listed = NULL;
    REQUIRE(client != NULL);
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        REQUIRE_OK(dxdr_client_accounts_start(client, TEXT(documents[i]), 0, &op, &error));
        REQUIRE(next_event(op, "cache", &event) == DXDR_OP_STATE_EVENT);
        REQUIRE_HOLDS(text_of(event), "\"found\":false");
        REQUIRE_HOLDS(text_of(event), "misspelt.cache\"");
        drop_buf(&event);
        REQUIRE(last_state(op) == (i == 2 ? DXDR_OP_STATE_FAILED : DXDR_OP_STATE_DONE));
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
        op = NULL;
    }
    REQUIRE_OK(dxdr_client_accounts(client, &listed, &error));
    REQUIRE_HOLDS(text_of(listed), "\"accounts\":[]");
    REQUIRE_HOLDS(text_of(listed), "\"warnings\":[]");
    snprintf(path, sizeof path, "%s/misspelt", place);
    REQUIRE(access(path, F_OK) != 0);
    failed = 0;
cleanup:
    dxdr_op_free(op);
    dxdr_buf_free(error);
    dxdr_buf_free(event);
    dxdr_buf_free(listed);
    dxdr_client_free(client);
    return failed;
}
#endif

int main(void)
{
    PROGRAM_BEGIN;
#ifdef __linux__
    /* Before any thread is there. */
    if (make_silent_bus() != 0) {
        return 1;
    }
#endif
    RUN(an_account_is_listed_used_and_signed_out);
    RUN(the_same_is_done_by_operations);
#ifdef __linux__
    RUN(a_look_at_a_cache_that_is_not_there_makes_nothing);
    RUN(a_keyring_that_never_answers_holds_nobody_up);
#endif
    PROGRAM_END;
}
