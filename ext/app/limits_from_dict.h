/* From a dict of limits to HttpLimits. Thread: any, with the GIL. */
#ifndef FLUVIAL_APP_LIMITS_FROM_DICT_H
#define FLUVIAL_APP_LIMITS_FROM_DICT_H

#include "base/py.h"
#include "http/server.h"

/* Overwrites the defaults with what the dict `limits` (borrowed) names. 0, or -1 with an exception
 * set. */
int server_limits_read(HttpLimits *out, PyObject *limits);

#endif
