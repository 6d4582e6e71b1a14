/* Each cache of kept.h has one place per hash value. A later value replaces the earlier one, so
 * that the caches don't grow. Any thread with the GIL: nothing between make() and the end of a
 * function lets another thread run.
 */
#include "base/py.h"

#include "app/kept.h"

#include "base/text.h"

PyObject *
kept_method(Kept *kept, const HttpRequest *req)
{
    PyObject **place = &kept->methods[req->method % KEPT_METHODS];
    if (*place == NULL) {
        *place = text_latin1(http_request_method(req));
    }
    return *place;
}

PyObject *
kept_name(Kept *kept, Slice name, PyObject *(*make)(Slice name))
{
    if (name.len == 0 || name.len > KEPT_NAME_MAX) {
        return make(name);
    }
    unsigned char first = (unsigned char)name.ptr[0];
    unsigned char last = (unsigned char)name.ptr[name.len - 1];
    size_t hash = name.len * 5 + first * 3u + last;
    KeptName *place = &kept->names[hash % KEPT_NAMES];
    if (likely(slice_eq(slice_of(place->name, place->len), name))) {
        return Py_NewRef(place->object);
    }
    PyObject *made = make(name);
    if (made != NULL) {
        memcpy(place->name, name.ptr, name.len);
        place->len = (uint8_t)name.len;
        Py_XSETREF(place->object, Py_NewRef(made));
    }
    return made;
}

PyObject *
kept_client(Kept *kept, const HttpRequest *req, PyObject *(*make)(const NetName *name))
{
    const NetAddr *peer = &req->peer;
    in_port_t port = peer->family == AF_INET ? peer->in4.sin_port : peer->in6.sin6_port;
    KeptClient *place = &kept->clients[ntohs(port) % KEPT_CLIENTS];
    if (place->object == NULL || !net_addr_eq(&place->addr, peer)) {
        NetName name;
        net_addr_name(peer, &name);
        PyObject *made = make(&name);
        if (made == NULL) {
            return NULL;
        }
        Py_XSETREF(place->object, made);
        place->addr = *peer;
    }
    return place->object;
}

void
kept_clear(Kept *kept)
{
    for (size_t i = 0; i < KEPT_METHODS; i++) {
        Py_CLEAR(kept->methods[i]);
    }
    for (size_t i = 0; i < KEPT_NAMES; i++) {
        kept->names[i].len = 0;
        Py_CLEAR(kept->names[i].object);
    }
    for (size_t i = 0; i < KEPT_CLIENTS; i++) {
        Py_CLEAR(kept->clients[i].object);
    }
}
