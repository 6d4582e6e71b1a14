/* The facts about a connection's TLS that an application receives, in the form of the ASGI
 * specification's TLS extension.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_FACTS_H
#define FLUVIAL_NET_SERVER_TLS_FACTS_H

#include "base/py.h"
#include "net/server_tls_link.h"

/* A new dict with server_cert, client_cert_chain, client_cert_name, client_cert_error,
 * tls_version and cipher_suite, for a connection whose handshake is complete. NULL with an
 * exception set. */
PyObject *secure_facts(SecureLink *link);

#endif
