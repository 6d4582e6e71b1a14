/* An app with another interface than Fluvial's own (ASGI, WSGI). dispatch.c hands its requests over
 * unchanged. The Python types that hold such apps begin with the struct Mount.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_MOUNT_H
#define FLUVIAL_APP_MOUNT_H

#include "base/py.h"
#include "app/app_state.h"
#include "http/request.h"

typedef struct Mount Mount;

/* What dispatch.c forwards from HttpOps. `eof`, `left` and `cancel` may be NULL. */
typedef struct MountOps {
    HttpBodyMode (*head)(HttpRequest *req);
    void (*request)(HttpRequest *req, Mount *mount);
    void (*body)(HttpRequest *req, Slice piece);
    void (*body_end)(HttpRequest *req);
    void (*eof)(HttpRequest *req);                 /* may be NULL */
    void (*left)(HttpRequest *req, bool for_long); /* may be NULL */
    /* May be NULL. Nobody waits for the response any more: cancels what computes it. `gone` may follow. */
    void (*cancel)(HttpRequest *req);
    void (*gone)(HttpRequest *req);
    void (*writable)(HttpRequest *req);
    bool websockets; /* the app takes WebSockets; otherwise the offer is ignored */
} MountOps;

struct Mount {
    PyObject_HEAD
    const MountOps *ops; /* static; NULL before __init__ */
};

/* Creates AppState.mount_type, the base of AsgiApp and WsgiApp. 0, or -1 with an exception set. */
int mount_setup(PyObject *module, AppState *st);

/* `obj` as a Mount (borrowed); NULL with TypeError set when it is none, or its __init__ hasn't run. */
Mount *mount_check(const AppState *st, PyObject *obj);

/* Calls report("<method> <path>: <what>", exc or None), which logs it. All borrowed; `exc` may be NULL. 0,
 * or -1 with an exception set. Any thread, with the GIL. */
int mount_report(PyObject *report, const HttpRequest *req, const char *what,
                 PyObject *exc);

#endif
