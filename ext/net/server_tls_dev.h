/* A certificate for development, which signs itself.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_DEV_H
#define FLUVIAL_NET_SERVER_TLS_DEV_H

#include "base/py.h"

/* Adds make_certificate() to the module. 0, or -1 with an exception set. */
int secure_dev_setup(PyObject *module);

#endif
