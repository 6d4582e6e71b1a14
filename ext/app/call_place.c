/* Where a request has come in (see call_place.h). Nothing here changes the request.
 */
#include "base/py.h"

#include "app/call_place.h"

#include "app/server.h"
#include "base/text.h"

PyObject *
call_root(const HttpRequest *req, PyObject *configured)
{
    return likely(req->prefix_len == 0) ? Py_NewRef(configured)
                                        : text_latin1(http_request_prefix(req));
}

Slice
call_root_bytes(const HttpRequest *req)
{
    PyObject *configured = call_server(req)->root_path; /* borrowed */
    if (req->prefix_len != 0) {
        return http_request_prefix(req);
    }
    if (configured == NULL) {
        return SLICE("");
    }
    Py_ssize_t len = 0;
    const char *root = PyUnicode_AsUTF8AndSize(configured, &len);
    return root == NULL ? slice_of(NULL, 0) : slice_of(root, (size_t)len);
}

PyObject *
call_local_pair(const HttpRequest *req)
{
    NetName name;
    NetAddr addr;
    if (http_request_server(req, &name) != 0 || http_request_local(req, &addr) != 0) {
        Py_RETURN_NONE;
    }
    if (addr.family == AF_UNSPEC) {
        return Py_BuildValue("O&O", PyUnicode_DecodeFSDefault, name.host, Py_None);
    }
    return Py_BuildValue("si", name.host, name.port);
}
