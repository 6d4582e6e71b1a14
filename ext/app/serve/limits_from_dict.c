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

int
server_limits_read(HttpLimits *out, PyObject *limits)
{
    const struct {
        const char *name;
        uint32_t *field;
    } small[] = {
        {"request_line", &out->request_line},
        {"header_block", &out->header_block},
        {"header_fields", &out->header_fields},
        {"trailer_block", &out->trailer_block},
        {"chunk_extensions", &out->chunk_extensions},
        {"header_timeout", &out->header_timeout},
        {"body_rate", &out->body_rate},
        {"body_grace", &out->body_grace},
        {"keep_alive", &out->keep_alive},
        {"write_timeout", &out->write_timeout},
        {"half_closed", &out->half_closed},
        {"linger_time", &out->linger_time},
        {"linger_timeout", &out->linger_timeout},
        {"connections", &out->connections},
        {"in_flight", &out->in_flight},
        {"request_timeout", &out->request_timeout},
        {"cancel_on_disconnect", &out->cancel_on_disconnect},
        {"pipelined", &out->pipelined},
        {"h2", &out->h2},
        {"h2_streams", &out->h2_streams},
        {"h2_window", &out->h2_window},
        {"h2_resets", &out->h2_resets},
        {"h2_controls", &out->h2_controls},
        {"h2_continuations", &out->h2_continuations},
        {"h2_stall", &out->h2_stall},
        {"ws_queue", &out->ws_queue},
        {"ws_ping_interval", &out->ws_ping_interval},
        {"ws_ping_timeout", &out->ws_ping_timeout},
        {"ws_close_timeout", &out->ws_close_timeout},
        {"ws_deflate", &out->ws_deflate},
        {"ws_deflate_threshold", &out->ws_deflate_threshold},
        {"decode_ratio", &out->decode_ratio},
        {"log_buffer", &out->log_buffer},
    };
    Py_ssize_t known = 0;
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        int found = limit_read(limits, small[i].name, UINT32_MAX, &value);
        if (found < 0) {
            return -1;
        }
        if (found > 0) {
            *small[i].field = (uint32_t)value;
            known++;
        }
    }
    const struct {
        const char *name;
        uint64_t *field;
    } large[] = {
        {"body", &out->body},
        {"form_size", &out->form_size},
        {"linger_bytes", &out->linger_bytes},
        {"ws_message", &out->ws_message},
        {"ws_frame", &out->ws_frame},
    };
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        int found = limit_read(limits, large[i].name, INT64_MAX, large[i].field);
        if (found < 0) {
            return -1;
        }
        known += found;
    }
    if (known != PyDict_GET_SIZE(limits)) {
        PyErr_Format(PyExc_ValueError, "unknown limit in %R", limits);
        return -1;
    }
    return 0;
}
