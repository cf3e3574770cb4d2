/*
 * authority.c: what is no authority is refused before anything is sent, what is one is
 * described as it was understood, and the way out can be a proxy with a password.
 */
#include "check.h"
#include "wire.h"

#define APP_AT(rest) "{\"grant\":\"client_credentials\",\"client_id\":\"" APP "\",\"resource\":\"" API "\"," rest "}"

/* Malformed authorities are refused when the request is prepared; the message says what is wrong, the hint what to write. */
static int what_is_no_authority_is_refused_at_once(void)
{
    static const char *const documents[] = {
        APP_AT("\"authority\":\"http://login.microsoftonline.com/" TENANT "\""),
        APP_AT("\"authority\":\"https://login.microsoftonline.com/" TENANT "/../other\""),
        APP_AT("\"authority\":\"https://login.microsoftonline.com/" TENANT "?x=1\""),
        APP_AT("\"authority\":\"https://login.microsoftonline.com/a%2f..%2fb\""),
        APP_AT("\"authority\":\"https://user:secret@login.microsoftonline.com/" TENANT "\""),
        APP_AT("\"authority\":\"https://login.microsoftonline.com:8443/" TENANT "\""),
        APP_AT("\"authority\":\"https://login.microsoftonline.com/\""),
        APP_AT("\"authority\":\"https://login.microsoftonline.de/" TENANT "\""),
        APP_AT("\"authority\":\"https://contoso.b2clogin.com/contoso.onmicrosoft.com\""),
        APP_AT("\"authority\":\"https://sts.contoso.example/adfs/../x\""),
        APP_AT("\"authority\":\"https://login.microsoftonline.com/" TENANT "\",\"cloud\":\"china\""),
        APP_AT("\"authority\":\"https://id.example/r\",\"authority_type\":\"saml\""),
        APP_AT("\"tenant_id\":\"../" TENANT "\""),
        APP_AT("\"tenant_id\":\"" TENANT "?x\""),
        APP_AT("\"tenant_id\":\"" TENANT "\",\"cloud\":\"moon\""),
        APP_AT("\"tenant_id\":\"" TENANT "\",\"region\":\"evil.example/\""),
    };
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_buf *error = NULL;
    char *hint = NULL;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        if (dxdr_request_new(client, TEXT(documents[i]), &request, &error) != DXDR_STATUS_BAD_ARGUMENT) {
            fprintf(stderr, "not refused: %s\n", documents[i]);
        }
        REQUIRE(request == NULL);
        REQUIRE(code_of(error) == DXDR_STATUS_BAD_ARGUMENT);
        REQUIRE(strstr(text_of(error), "secret@") == NULL);
        hint = json_text(text_of(error), "hint");
        REQUIRE(hint != NULL && *hint != '\0');
        free(hint);
        hint = NULL;
        drop_buf(&error);
    }
    failed = 0;
cleanup:
    free(hint);
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* Whether an unknown host is a cloud, instance discovery knows: it is asked, and the host itself hears nothing. */
static int an_unknown_cloud_is_refused_and_hears_nothing(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, APP_AT("\"authority\":\"https://login.microsoftonline.example/" TENANT "\""), "client_secret", APP_SECRET);
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    REQUIRE(emulator_reset() == 0);
    REQUIRE(request != NULL);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE_HOLDS(text_of(error), "login.microsoftonline.example is not a known Microsoft Entra cloud");
    REQUIRE_HOLDS(text_of(error), "login.microsoftonline.us");
    REQUIRE_HOLDS(text_of(error), "instance_discovery");
    REQUIRE(strstr(text_of(error), APP_SECRET) == NULL);
    REQUIRE(emulator_asked("/common/discovery/instance") == 1);
    REQUIRE(emulator_asked("/token") == 0);
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* A request says which authority it understood. */
static int authorities_are_described_as_understood(void)
{
    static const struct {
        const char *document, *holds[3];
    } rows[] = {
        {APP_AT("\"tenant_id\":\"" TENANT "\",\"cloud\":\"USGov\""),
         {"\"authority\":\"https://login.microsoftonline.us/" TENANT "/\"", "\"authority_type\":\"entra\"", "\"dialect\":\"v1\""}},
        {APP_AT("\"authority\":\"https://sts.contoso.example/adfs/oauth2/authorize\""),
         {"\"authority\":\"https://sts.contoso.example/adfs/\"", "\"authority_type\":\"adfs\"", "\"tenant_id\":null"}},
        {APP_AT("\"authority\":\"https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/B2C_1_x\""),
         {"\"authority_type\":\"b2c\"", "\"dialect\":\"v2\"", "\"admin_consent_uri\":null"}},
        {APP_AT("\"authority\":\"https://contoso.ciamlogin.com\""),
         {"\"tenant_id\":\"contoso.onmicrosoft.com\"", "\"authority_type\":\"ciam\"", "\"dialect\":\"v2\""}},
        {APP_AT("\"authority\":\"https://id.example/realms/x\",\"authority_type\":\"oidc\""),
         {"\"authority\":\"https://id.example/realms/x/\"", "\"tenant_id\":null", "\"authority_host\":\"id.example\""}},
    };
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_buf *error = NULL, *about = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        REQUIRE_OK(dxdr_request_new(client, TEXT(rows[i].document), &request, &error));
        REQUIRE_OK(dxdr_request_describe(request, &about, &error));
        for (size_t part = 0; part < 3; part++) {
            REQUIRE_HOLDS(text_of(about), rows[i].holds[part]);
        }
        drop_buf(&about);
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_request_free(request));
        request = NULL;
    }
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* The password of a proxy is a secret of the client; it stands in no description. */
static int a_proxy_takes_its_password_as_a_secret(void)
{
    int failed = 1;
    dxdr_client *client = NULL, *without = NULL;
    dxdr_secret *secret = NULL;
    dxdr_buf *error = NULL, *about = NULL;
    REQUIRE_OK(dxdr_secret_new_utf8(TEXT("canary-password"), &secret, &error));
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_client_new(TEXT("{\"proxy\":\"http://adele:canary-password@127.0.0.1:9\"}"), &client, &error));
    REQUIRE_HOLDS(text_of(error), "proxy_password");
    REQUIRE(strstr(text_of(error), "canary") == NULL);
    drop_buf(&error);
    REQUIRE_OK(dxdr_client_new(TEXT("{\"cache\":\"private\",\"proxy\":\"http://127.0.0.1:9\",\"proxy_user\":\"adele\",\"no_proxy\":\".contoso.example,10.0.0.0/8\"}"), &client, &error));
    REQUIRE_OK(dxdr_client_set_secret(client, TEXT("proxy_password"), secret, &error));
    REQUIRE_OK(dxdr_client_describe(client, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"proxy\":\"http://127.0.0.1:9\"");
    REQUIRE(strstr(text_of(about), "canary") == NULL);
    without = private_client();
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_client_set_secret(without, TEXT("proxy_password"), secret, &error));
    REQUIRE_HOLDS(text_of(error), "proxy_user");
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_client_set_secret(client, TEXT("client_secret"), secret, &error));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_secret_free(secret);
    dxdr_client_free(client);
    dxdr_client_free(without);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(what_is_no_authority_is_refused_at_once);
    RUN(an_unknown_cloud_is_refused_and_hears_nothing);
    RUN(authorities_are_described_as_understood);
    RUN(a_proxy_takes_its_password_as_a_secret);
    PROGRAM_END;
}
