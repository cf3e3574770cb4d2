/* The accounts of Visual Studio and of Azure PowerShell under Windows' loader: with a folder as its argument the program asks for both. With STAND_IN it
 * stands, by its name, for Visual Studio's token provider, for pwsh.exe, which has no Az.Accounts here, or for powershell.exe, which has it. */
#include <stdio.h>
#include <string.h>

#define RESOURCE "https://api.security.microsoft.com"
#define TENANT "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897"

#ifndef STAND_IN
#include "defender_xdr.h"

/* The token that a grant brings, or the error document on standard error. */
static int ask(const char *folder, const char *grant, const char *expected) {
    char config[2048], wish[512];
    dxdr_buf *error = NULL;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    const uint8_t *data = NULL;
    size_t len = 0;
    snprintf(config, sizeof config, "{\"emulator\":\"\",\"environment\":{\"LOCALAPPDATA\":\"%s\",\"PATH\":\"%s/bin\"}}", folder, folder);
    snprintf(wish, sizeof wish, "{\"grant\":\"%s\",\"tenant_id\":\"" TENANT "\",\"resource\":\"" RESOURCE "\"}", grant);
    if (dxdr_client_new((const uint8_t *)config, strlen(config), &client, &error) != DXDR_STATUS_OK ||
        dxdr_request_new(client, (const uint8_t *)wish, strlen(wish), &request, &error) != DXDR_STATUS_OK ||
        dxdr_acquire_token(request, 60000, NULL, &token, &error) != DXDR_STATUS_OK || dxdr_token_value(token, &data, &len) != DXDR_STATUS_OK) {
        if (error != NULL) dxdr_buf_get(error, &data, &len);
        fprintf(stderr, "%s: %.*s\n", grant, (int)len, data == NULL ? "" : (const char *)data);
        return 1;
    }
    if (strcmp((const char *)data, expected) != 0) {
        fprintf(stderr, "%s brought %s\n", grant, (const char *)data);
        return 1;
    }
    printf("%s: %s\n", grant, (const char *)data);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) return 1;
    return ask(argv[1], "visual_studio", "aaa.of.visual-studio") | ask(argv[1], "azure_powershell", "aaa.of.azure-powershell");
}
#else
int main(int argc, char **argv) {
    if (strstr(argv[0], "provider") != NULL) {
        if (argc != 7 || strcmp(argv[1], "two words") != 0 || strcmp(argv[2], "a\"b") != 0 || strcmp(argv[3], "--resource") != 0 ||
            strcmp(argv[4], RESOURCE) != 0 || strcmp(argv[5], "--tenant") != 0 || strcmp(argv[6], TENANT) != 0) {
            fprintf(stderr, "other arguments: %d\n", argc);
            return 1;
        }
        puts("{\"access_token\":\"aaa.of.visual-studio\",\"expires_on\":\"2099-01-01T00:00:00+00:00\"}");
        return 0;
    }
    if (argc != 7 || strcmp(argv[1], "-NoProfile") != 0 || strcmp(argv[5], "-EncodedCommand") != 0) return 1;
    if (strstr(argv[0], "pwsh") != NULL) puts("noise\n\ndefender-xdr:{\"step\":\"module\",\"message\":\"x\",\"found\":\"\"}");
    else puts("noise\n\ndefender-xdr:{\"step\":\"token\",\"token\":\"aaa.of.azure-powershell\",\"expires_on\":\"2099-01-01T00:00:00.0000000Z\"}");
    return 0;
}
#endif
