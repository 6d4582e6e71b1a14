/* What trusted proxies say of a request's client: X-Forwarded-For, -Proto, -Host, -Port, -Prefix, and
 * Forwarded (RFC 7239). Called only for requests that have one of them.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_FORWARDED_H
#define FLUVIAL_HTTP_FORWARDED_H

#include "base/py.h"
#include "http/conn.h"

/* A field whose name has the length of one of these has arrived, as the last of the request. Notes it in
 * HttpConn.rare if the connection's peer is believed. A name with '_' in place of '-' is dropped from
 * every peer: apps that read variables such as HTTP_X_FORWARDED_FOR could not tell the two apart. */
void forwarded_note(HttpConn *c);

/* The head is complete and well-formed: sets the request's peer, https, Host field and prefix by what was
 * noted. Values that are malformed count as absent. 0 or UV_ENOMEM. */
int forwarded_apply(HttpConn *c);

#endif
