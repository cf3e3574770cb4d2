/*
 * The contract: a tool that watches over the other programs sees what it is there to see. Without an argument all is well; with "leak" blocks
 * are lost, with "overrun" one is read beyond its end.
 */
#include "check.h"

/* Many blocks: of one alone, an address could still stand somewhere on the stack. */
static int lose_blocks(void)
{
    for (int i = 0; i < 50; i++) {
        char *volatile block = malloc(16);
        if (block == NULL) {
            return 1;
        }
        block[0] = 0;
    }
    return 0;
}

static int read_behind_a_block(void)
{
    char *volatile block = malloc(16);
    int result = 1;
    if (block != NULL) {
        const volatile char *behind = block + 16;
        result = *behind == 'x' && *behind != 'x';
        free(block);
    }
    return result;
}

int main(int argc, char **argv)
{
    dxdr_buf *claims = NULL;
    const char *fault = argc > 1 ? argv[1] : "";
    const int32_t status = dxdr_decode_claims(TEXT("e30.e30."), &claims, NULL);
    dxdr_buf_free(claims);
    if (strcmp(fault, "leak") == 0) {
        return lose_blocks();
    }
    if (strcmp(fault, "overrun") == 0) {
        return read_behind_a_block();
    }
    return status == DXDR_STATUS_OK ? 0 : 1;
}
