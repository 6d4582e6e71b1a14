/* An app of another interface than Fluvial's own (ASGI, WSGI) to which dispatch.c hands requests
 * over as they are. The Python types that hold such apps begin with the struct.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_MOUNT_H
#define FLUVIAL_APP_MOUNT_H

#include "base/py.h"
#include "app/app_state.h"
#include "http/request.h"

typedef struct Mount Mount;

/* What dispatch forwards from HttpOps; all of these but `eof` and `left` are there. */
typedef struct MountOps {
    HttpBodyMode (*head)(HttpRequest *req);
    void (*request)(HttpRequest *req, Mount *mount);
    void (*body)(HttpRequest *req, Slice piece);
    void (*body_end)(HttpRequest *req);
    void (*eof)(HttpRequest *req);                 /* may be NULL */
    void (*left)(HttpRequest *req, bool for_long); /* may be NULL */
    void (*gone)(HttpRequest *req);
    void (*writable)(HttpRequest *req);
    bool
        websockets; /* offers of WebSockets are for the app; else they are plain requests */
} MountOps;

struct Mount {
    PyObject_HEAD
    const MountOps *ops; /* static; NULL before __init__ */
};

/* Creates AppState.mount_type, the base type of such apps' types. 0, or -1 with an exception set. */
int mount_setup(PyObject *module, AppState *st);

/* `obj` as a Mount when it is one and made; else NULL with TypeError set. Borrowed. */
Mount *mount_check(const AppState *st, PyObject *obj);

#endif
