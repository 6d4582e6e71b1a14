/* Names and bits of HTTP methods (see method.h), from llhttp's table: the parser accepts exactly these
 * methods. Pure functions; any thread.
 */
#include "base/py.h"

#include "route/method.h"

#include <llhttp.h>

typedef struct MethodName {
    Slice name;
    unsigned number;
} MethodName;

static const MethodName method_names[] = {
#define METHOD_NAME(number, name, string) {{#string, sizeof(#string) - 1}, number},
    HTTP_METHOD_MAP(METHOD_NAME)
#undef METHOD_NAME
};

enum { NMETHODS = sizeof method_names / sizeof *method_names };

MethodSet
method_bit(Slice name)
{
    for (size_t i = 0; i < NMETHODS; i++) {
        if (slice_eq(method_names[i].name, name)) {
            return (MethodSet)1 << method_names[i].number;
        }
    }
    return 0;
}

static bool
name_before(Slice a, Slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.ptr, b.ptr, shorter);
    return order < 0 || (order == 0 && a.len < b.len);
}

unsigned
method_set_names(MethodSet methods, Slice names[METHODS_MAX])
{
    unsigned n = 0;
    for (size_t i = 0; i < NMETHODS; i++) {
        if ((methods >> method_names[i].number & 1) == 0) {
            continue;
        }
        unsigned at = n++;
        for (; at > 0 && name_before(method_names[i].name, names[at - 1]); at--) {
            names[at] = names[at - 1];
        }
        names[at] = method_names[i].name;
    }
    return n;
}

PyObject *
method_set_allow(MethodSet methods)
{
    enum { LONGEST = 16 }; /* "MKCALENDAR, " and the like */
    char text[METHODS_MAX * LONGEST];
    Slice names[METHODS_MAX];
    unsigned n = method_set_names(methods, names);
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (i > 0) {
            memcpy(text + len, ", ", 2);
            len += 2;
        }
        assert(names[i].len + 2 <= LONGEST);
        memcpy(text + len, names[i].ptr, names[i].len);
        len += names[i].len;
    }
    return PyBytes_FromStringAndSize(text, (Py_ssize_t)len);
}
