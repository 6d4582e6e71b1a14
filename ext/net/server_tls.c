/* The Python type SecureContext (see server_tls.h). The files' contents are the caller's bytes, borrowed
 * while a set is made of them.
 */
#include "base/py.h"

#include "net/server_tls.h"

#include <openssl/ssl.h>
#include <uv.h>

typedef struct TicketsObject {
    PyObject_HEAD
    SecureTickets *tickets; /* owned: a reference */
} TicketsObject;

typedef struct SecureContext {
    PyObject_HEAD
    SecureSet *set; /* owned: a reference */
} SecureContext;

/* `obj`, which is None or (name, contents), as a file; borrowed from it. 0, or -1 with an exception set. */
static int
file_parse(PyObject *obj, SecureFile *file)
{
    Py_ssize_t len;
    *file = (SecureFile){NULL, slice_of("", 0)};
    if (obj == Py_None) {
        return 0;
    }
    if (!PyTuple_Check(obj)) {
        PyErr_Format(PyExc_TypeError, "a file is (str, bytes), not %R", obj);
        return -1;
    }
    if (!PyArg_ParseTuple(obj, "sy#:file", &file->name, &file->text.ptr, &len)) {
        return -1;
    }
    file->text.len = (size_t)len;
    return 0;
}

/* Adds each of `pairs`: (certificate, key) or (certificate, key, OCSP response), all of them files. 0, or -1 with an exception set. */
static int
pairs_add(SecureSet *set, const SecureRules *rules, PyObject *pairs)
{
    if (PyTuple_GET_SIZE(pairs) == 0) {
        PyErr_SetString(PyExc_ValueError, "there must be a certificate");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        PyObject *each = PyTuple_GET_ITEM(pairs, i), *cert, *key, *ocsp = Py_None;
        SecurePair pair;
        if (!PyTuple_Check(each)) {
            PyErr_Format(PyExc_TypeError, "a pair is (file, file), not %R", each);
            return -1;
        }
        if (!PyArg_ParseTuple(each, "OO|O:pair", &cert, &key, &ocsp)
            || file_parse(cert, &pair.cert) < 0 || file_parse(key, &pair.key) < 0
            || file_parse(ocsp, &pair.ocsp) < 0
            || secure_set_add(set, rules, &pair) < 0) {
            return -1;
        }
    }
    secure_set_seal(set);
    return 0;
}

static int
rules_check(const SecureRules *rules)
{
    if (rules->verify < SECURE_VERIFY_NONE || rules->verify > SECURE_VERIFY_REQUIRED) {
        PyErr_Format(PyExc_ValueError, "verify must be 0, 1 or 2, not %d",
                     rules->verify);
        return -1;
    }
    if (rules->least != TLS1_2_VERSION && rules->least != TLS1_3_VERSION) {
        PyErr_Format(PyExc_ValueError, "minimum_version must be 0x303 or 0x304, not %d",
                     rules->least);
        return -1;
    }
    return 0;
}

static PyObject *
context_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {
        "pairs", "password",        "ca_certs", "verify", "ciphers",
        "crl",   "minimum_version", "tickets",  "http2",  NULL};
    PyObject *pairs, *cas = Py_None, *crl = Py_None, *tickets = Py_None; /* borrowed */
    SecureRules rules = {.verify = SECURE_VERIFY_NONE, .least = TLS1_2_VERSION};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!|$zOizOiOp:SecureContext", (char **)names, &PyTuple_Type,
            &pairs, &rules.password, &cas, &rules.verify, &rules.ciphers, &crl,
            &rules.least, &tickets, &rules.http2)
        || rules_check(&rules) < 0 || file_parse(cas, &rules.cas) < 0
        || file_parse(crl, &rules.crl) < 0) {
        return NULL;
    }
    const NetState *st = net_state(PyType_GetModule(type));
    if (tickets != Py_None && !Py_IS_TYPE(tickets, st->tickets_type)) {
        return PyErr_Format(PyExc_TypeError, "tickets must be SessionTickets, not %R",
                            tickets);
    }
    SecureSet *set =
        secure_set_new(tickets == Py_None ? NULL : ((TicketsObject *)tickets)->tickets);
    if (set == NULL) {
        return PyErr_NoMemory();
    }
    SecureContext *self = pairs_add(set, &rules, pairs) < 0
                              ? NULL
                              : (SecureContext *)type->tp_alloc(type, 0);
    if (self == NULL) {
        secure_set_unref(set);
        return NULL;
    }
    self->set = set;
    return (PyObject *)self;
}

static int
context_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

static void
context_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    secure_set_unref(((SecureContext *)op)->set);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot context_slots[] = {
    {Py_tp_doc, "Certificates, keys and rules of a server's TLS."},
    {Py_tp_new, context_new},
    {Py_tp_traverse, context_traverse},
    {Py_tp_dealloc, context_dealloc},
    {0, NULL},
};

static PyType_Spec context_spec = {
    .name = "fluvial._core.SecureContext",
    .basicsize = sizeof(SecureContext),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = context_slots,
};

/* ---- The keys of tickets ------------------------------------------------------------------- */

static PyObject *
tickets_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"lifetime", "state", NULL};
    long lifetime;
    const char *state = "";
    Py_ssize_t len = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "l|y#:SessionTickets",
                                     (char **)names, &lifetime, &state, &len)) {
        return NULL;
    }
    if (lifetime < 1) {
        return PyErr_Format(PyExc_ValueError, "lifetime must be at least 1, not %ld",
                            lifetime);
    }
    TicketsObject *self = (TicketsObject *)type->tp_alloc(type, 0);
    if (self != NULL && (self->tickets = secure_tickets_new(lifetime)) == NULL) {
        Py_CLEAR(self);
    }
    if (self != NULL && len > 0
        && !secure_tickets_continue(self->tickets, slice_of(state, (size_t)len))) {
        Py_CLEAR(self);
        PyErr_SetString(PyExc_ValueError, "state must be that of other SessionTickets");
    }
    return (PyObject *)self;
}

static PyObject *
tickets_state(PyObject *op, PyObject *unused)
{
    (void)unused;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, SECURE_TICKET_STATE);
    if (bytes != NULL) {
        secure_tickets_state(((TicketsObject *)op)->tickets,
                             (unsigned char *)PyBytes_AS_STRING(bytes));
    }
    return bytes;
}

/* Seconds: no ticket lives longer (RFC 8446 section 4.6.1). */
enum { AHEAD_MAX = 604800 };

static PyObject *
tickets_advance(PyObject *op, PyObject *args)
{
    long long ahead = 0;
    if (!PyArg_ParseTuple(args, "|L:advance", &ahead)) {
        return NULL;
    }
    if (ahead < 0 || ahead > AHEAD_MAX) { /* each key is made of the one before */
        PyErr_Format(PyExc_ValueError, "ahead must be from 0 to %d seconds, not %lld",
                     AHEAD_MAX, ahead);
        return NULL;
    }
    uint64_t now = uv_hrtime() + (uint64_t)ahead * UINT64_C(1000000000);
    secure_tickets_advance(((TicketsObject *)op)->tickets, now);
    Py_RETURN_NONE;
}

static void
tickets_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    secure_tickets_unref(((TicketsObject *)op)->tickets);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef tickets_def[] = {
    {"advance", tickets_advance, METH_VARARGS, "Changes the keys if that is due."},
    {"state", tickets_state, METH_NOARGS,
     "What another process needs for the same keys."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot tickets_slots[] = {
    {Py_tp_doc, "The keys of session tickets."},
    {Py_tp_new, tickets_new},
    {Py_tp_traverse, context_traverse},
    {Py_tp_dealloc, tickets_dealloc},
    {Py_tp_methods, tickets_def},
    {0, NULL},
};

static PyType_Spec tickets_spec = {
    .name = "fluvial._core.SessionTickets",
    .basicsize = sizeof(TicketsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = tickets_slots,
};

/* ---- The module ---------------------------------------------------------------------------- */

SecureSet *
secure_context_of(const NetState *st, PyObject *obj)
{
    if (!Py_IS_TYPE(obj, st->secure_type)) {
        PyErr_Format(PyExc_TypeError, "secure must be a SecureContext, not %R", obj);
        return NULL;
    }
    return ((SecureContext *)obj)->set;
}

int
secure_setup(PyObject *module, NetState *st)
{
    st->secure_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &context_spec, NULL);
    if (st->secure_type == NULL || PyModule_AddType(module, st->secure_type) < 0) {
        return -1;
    }
    st->tickets_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &tickets_spec, NULL);
    return st->tickets_type == NULL ? -1 : PyModule_AddType(module, st->tickets_type);
}
