/*
 * operation.h: how a C host lives with an operation. Include it after check.h.
 */
#ifndef OPERATION_H
#define OPERATION_H

/* Waits, passing over notices, until a question or notice of this kind comes, or another state than EVENT. `event` is the caller's to free. */
static inline int32_t next_event(dxdr_op *op, const char *kind, dxdr_buf **event)
{
    char wanted[64];
    int32_t state = DXDR_OP_STATE_RUNNING;
    snprintf(wanted, sizeof wanted, "\"kind\":\"%s\"", kind);
    *event = NULL;
    while (dxdr_op_wait(op, LONG_MS, &state) == DXDR_STATUS_OK && state == DXDR_OP_STATE_EVENT) {
        if (dxdr_op_take_event(op, event, NULL) == DXDR_STATUS_OK && *event != NULL && strstr(text_of(*event), wanted) != NULL) {
            return DXDR_OP_STATE_EVENT;
        }
        drop_buf(event);
    }
    return state;
}

/* The same until an item comes, or another state than EVENT. */
static inline int32_t next_item(dxdr_op *op, dxdr_buf **item)
{
    dxdr_buf *event = NULL;
    const int32_t state = next_event(op, "(none)", &event);
    *item = NULL;
    if (state == DXDR_OP_STATE_ITEM) {
        dxdr_op_take_item(op, item, NULL);
    }
    return state;
}

/* The terminal state, whatever comes before it. */
static inline int32_t last_state(dxdr_op *op)
{
    int32_t state;
    dxdr_buf *item = NULL;
    while ((state = next_item(op, &item)) == DXDR_OP_STATE_ITEM) {
        drop_buf(&item);
    }
    return state;
}

#endif
