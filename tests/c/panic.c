/*
 * The contract: a defect inside the library ends at its boundary. The call returns PANIC, nothing is written to standard error (the runner looks),
 * and the next call works. Needs the build with test hooks, whose one function the header does not show.
 */
#include "check.h"

DXDR_API int32_t dxdr_test_panic(void);

static int a_panic_is_a_status(void)
{
    int failed = 1;
    dxdr_buf *claims = NULL, *error = NULL;
    for (int round = 0; round < 3; round++) {
        REQUIRE_STATUS(DXDR_STATUS_PANIC, dxdr_test_panic());
        REQUIRE_OK(dxdr_decode_claims(TEXT("e30.e30."), &claims, &error));
        drop_buf(&claims);
    }
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    return failed;
}

static void *panic_in_thread(void *pointer)
{
    struct task *task = pointer;
    task->status = dxdr_test_panic();
    return NULL;
}

static int a_panic_on_any_thread_is_a_status(void)
{
    int failed = 1;
    struct task tasks[16];
    size_t started = 0;
    dxdr_client *client = NULL;
    memset(tasks, 0, sizeof tasks);
    while (started < sizeof tasks / sizeof *tasks && pthread_create(&tasks[started].thread, NULL, panic_in_thread, &tasks[started]) == 0) {
        started++;
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(tasks[i].thread, NULL);
    }
    REQUIRE(started == sizeof tasks / sizeof *tasks);
    for (size_t i = 0; i < started; i++) {
        REQUIRE_STATUS(DXDR_STATUS_PANIC, tasks[i].status);
    }
    client = private_client();
    REQUIRE(client != NULL);
    failed = 0;
cleanup:
    dxdr_client_free(client);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(a_panic_is_a_status);
    RUN(a_panic_on_any_thread_is_a_status);
    PROGRAM_END;
}
