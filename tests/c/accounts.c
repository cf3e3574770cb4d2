/*
 * The contract: whose tokens a cache holds is listed without any of them; an account that is signed out is gone; a refresh token leaves the cache by
 * the one function that says so.
 */
#include "check.h"

#include "wire.h"

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

int main(void)
{
    PROGRAM_BEGIN;
    RUN(an_account_is_listed_used_and_signed_out);
    PROGRAM_END;
}
