/* Reads HttpLimits from a Python dict. Thread: any, with the GIL. */
#ifndef FLUVIAL_APP_SERVE_LIMITS_FROM_DICT_H
#define FLUVIAL_APP_SERVE_LIMITS_FROM_DICT_H

#include "base/py.h"
#include "http/server.h"

/* Overwrites those limits in `out` that the dict `limits` (borrowed) has. 0, or -1 with an
 * exception set. */
int server_limits_read(HttpLimits *out, PyObject *limits);

#endif
