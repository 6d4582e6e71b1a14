/* The net layer's share of the module's state.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_NET_NET_STATE_H
#define FLUVIAL_NET_NET_STATE_H

#include "base/py.h"

typedef struct NetState {
    PyTypeObject *secure_type;  /* owned: SecureContext, for the server's own TLS */
    PyTypeObject *tickets_type; /* owned: SessionTickets, of that */
} NetState;

/* The layer's part of the state of `module`; borrowed. Defined in module.c. */
NetState *net_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int net_setup(PyObject *module, NetState *st);
int net_traverse(NetState *st, visitproc visit, void *arg);
void net_clear(NetState *st);

#endif
