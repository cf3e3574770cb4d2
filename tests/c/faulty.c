/*
 * The contract: a tool that watches over the other programs sees what it is there to see. Without an argument all is well; with "leak" a block is
 * lost, with "overrun" one is read beyond its end.
 */
#include "check.h"

int main(int argc, char **argv)
{
    dxdr_buf *claims = NULL;
    const char *fault = argc > 1 ? argv[1] : "";
    char *volatile block = malloc(16);
    int32_t status = dxdr_decode_claims(TEXT("e30.e30."), &claims, NULL);
    dxdr_buf_free(claims);
    if (block == NULL) {
        return 1;
    }
    memset(block, 0, 16);
    if (strcmp(fault, "overrun") == 0) {
        const volatile char *behind = block;
        status += behind[16] != 0 ? 0 : 0;
    }
    if (strcmp(fault, "leak") != 0) {
        free(block);
    }
    block = NULL;
    return status == DXDR_STATUS_OK ? 0 : 1;
}
