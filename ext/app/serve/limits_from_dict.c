/* See limits_from_dict.h. The keys of the dict are the names of HttpLimits' fields. A name that
 * HttpLimits doesn't have is an error, so that no misspelt limit is ignored. Runs once per server,
 * with the GIL.
 */
#include "base/py.h"

#include "app/serve/limits_from_dict.h"

/* Reads one limit from the dict `limits`. 1; 0 when it isn't there; -1 with an exception set. */
static int
limit_read(PyObject *limits, const char *name, uint64_t max, uint64_t *out)
{
    PyObject *value = PyDict_GetItemString(limits, name);
    if (value == NULL) {
        return 0;
    }
    unsigned long long number = PyLong_AsUnsignedLongLong(value);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) {
        return -1;
    }
    if (number > max) {
        PyErr_Format(PyExc_ValueError, "limit %s must be at most %llu, not %llu", name,
                     (unsigned long long)max, number);
        return -1;
    }
    *out = number;
    return 1;
}

/* The limits by the names of their fields, which have 32 or 64 bits. */
#define LIMIT(field)                                                                   \
    {#field, offsetof(HttpLimits, field), sizeof((HttpLimits){0}.field)}
static const struct {
    char name[24];
    uint16_t offset, size;
} limit_fields[] = {
    LIMIT(request_line),
    LIMIT(header_block),
    LIMIT(header_fields),
    LIMIT(trailer_block),
    LIMIT(chunk_extensions),
    LIMIT(header_timeout),
    LIMIT(body_rate),
    LIMIT(body_grace),
    LIMIT(keep_alive),
    LIMIT(write_timeout),
    LIMIT(half_closed),
    LIMIT(linger_time),
    LIMIT(linger_timeout),
    LIMIT(connections),
    LIMIT(in_flight),
    LIMIT(request_timeout),
    LIMIT(cancel_on_disconnect),
    LIMIT(pipelined),
    LIMIT(h2),
    LIMIT(h2_streams),
    LIMIT(h2_window),
    LIMIT(h2_resets),
    LIMIT(h2_controls),
    LIMIT(h2_continuations),
    LIMIT(h2_stall),
    LIMIT(ws_queue),
    LIMIT(ws_ping_interval),
    LIMIT(ws_ping_timeout),
    LIMIT(ws_close_timeout),
    LIMIT(ws_deflate),
    LIMIT(ws_deflate_threshold),
    LIMIT(decode_ratio),
    LIMIT(log_buffer),
    LIMIT(body),
    LIMIT(form_size),
    LIMIT(linger_bytes),
    LIMIT(ws_message),
    LIMIT(ws_frame),
};
#undef LIMIT

int
server_limits_read(HttpLimits *out, PyObject *limits)
{
    Py_ssize_t known = 0;
    for (size_t i = 0; i < sizeof limit_fields / sizeof *limit_fields; i++) {
        bool is_small = limit_fields[i].size == sizeof(uint32_t);
        uint64_t value = 0;
        int found = limit_read(limits, limit_fields[i].name,
                               is_small ? UINT32_MAX : INT64_MAX, &value);
        if (found < 0) {
            return -1;
        }
        uint32_t small = (uint32_t)value;
        if (found > 0) {
            memcpy((char *)out + limit_fields[i].offset,
                   is_small ? (const void *)&small : &value, limit_fields[i].size);
            known++;
        }
    }
    if (known != PyDict_GET_SIZE(limits)) {
        PyErr_Format(PyExc_ValueError, "unknown limit in %R", limits);
        return -1;
    }
    return 0;
}
