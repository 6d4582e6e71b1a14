/* Set-up and tear-down of the transports' part of the module's state (see transport_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "transport/transport_state.h"
#include "base/names.h"
#include "transport/acceptor.h"
#include "transport/datagram.h"
#include "transport/endpoint.h"
#include "transport/pipe.h"
#include "transport/reader.h"
#include "transport/asyncio_tls.h"
#include "transport/transport.h"

static int
transport_setup_names(TransportState *st)
{
    const struct {
        PyObject **to;
        const char *text;
    } names[] = {
        {&st->str_call_connection_lost, "_call_connection_lost"},
        {&st->str_data_received, "data_received"},
        {&st->str_get_buffer, "get_buffer"},
        {&st->str_buffer_updated, "buffer_updated"},
        {&st->str_eof_received, "eof_received"},
        {&st->str_connection_made, "connection_made"},
        {&st->str_connection_lost, "connection_lost"},
        {&st->str_pause_writing, "pause_writing"},
        {&st->str_resume_writing, "resume_writing"},
        {&st->str_close, "close"},
        {&st->str_socket, "socket"},
        {&st->str_sockname, "sockname"},
        {&st->str_peername, "peername"},
        {&st->str_join, "join"},
        {&st->str_read, "read"},
        {&st->str_write, "write"},
        {&st->str_pending, "pending"},
        {&st->str_do_write, "_do_write"},
        {&st->str_write_appdata, "_write_appdata"},
        {&st->str_control_app_writing, "_control_app_writing"},
        {&st->str_control_ssl_reading, "_control_ssl_reading"},
        {&st->str_call_eof_received, "_call_eof_received"},
        {&st->str_start_shutdown, "_start_shutdown"},
        {&st->str_begin, "_begin"},
        {&st->str_read_ready, "_read_ready"},
        {&st->str_fileno, "fileno"},
        {&st->str_datagram_received, "datagram_received"},
        {&st->str_error_received, "error_received"},
        {&st->str_sendto, "sendto"},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        if (name_intern(names[i].to, names[i].text) < 0) {
            return -1;
        }
    }
    st->empty_bytes = PyBytes_FromStringAndSize(NULL, 0);
    return st->empty_bytes == NULL ? -1 : 0;
}

int
transport_setup(PyObject *module, TransportState *st)
{
    st->module = module;
    if (transport_setup_names(st) < 0
        || name_import(&st->asyncio_transport, "asyncio.transports",
                       "_FlowControlMixin")
               < 0
        || name_import(&st->transport_socket, "asyncio.trsock", "TransportSocket") < 0
        || name_import(&st->buffered_protocol, "asyncio", "BufferedProtocol") < 0) {
        return -1;
    }
    if (transport_type_setup(module, st) < 0 || acceptor_setup(module, st) < 0
        || endpoint_setup(module, st) < 0 || datagram_setup(module) < 0
        || pipe_setup(module) < 0 || reader_setup(st) < 0) {
        return -1;
    }
    return tls_setup(module, st);
}

int
transport_traverse(TransportState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->transport_type);
    Py_VISIT(st->acceptor_type);
    Py_VISIT(st->transport_socket);
    Py_VISIT(st->endpoint_type);
    Py_VISIT(st->asyncio_transport);
    Py_VISIT(st->buffered_protocol);
    Py_VISIT(st->tls_type);
    Py_VISIT(st->tls_wrapped);
    Py_VISIT(st->tls_flushing);
    Py_VISIT(st->tls_again);
    return reader_traverse(st, visit, arg);
}

void
transport_clear(TransportState *st)
{
    reader_clear(st);
    Py_CLEAR(st->transport_type);
    Py_CLEAR(st->acceptor_type);
    Py_CLEAR(st->transport_socket);
    Py_CLEAR(st->asyncio_transport);
    Py_CLEAR(st->buffered_protocol);
    Py_CLEAR(st->empty_bytes);
    Py_CLEAR(st->str_call_connection_lost);
    Py_CLEAR(st->str_data_received);
    Py_CLEAR(st->str_get_buffer);
    Py_CLEAR(st->str_buffer_updated);
    Py_CLEAR(st->str_eof_received);
    Py_CLEAR(st->str_connection_made);
    Py_CLEAR(st->str_connection_lost);
    Py_CLEAR(st->str_pause_writing);
    Py_CLEAR(st->str_resume_writing);
    Py_CLEAR(st->str_close);
    Py_CLEAR(st->str_socket);
    Py_CLEAR(st->str_sockname);
    Py_CLEAR(st->str_peername);
    Py_CLEAR(st->str_join);
    Py_CLEAR(st->tls_type);
    Py_CLEAR(st->tls_wrapped);
    Py_CLEAR(st->tls_flushing);
    Py_CLEAR(st->tls_again);
    Py_CLEAR(st->record_max);
    Py_CLEAR(st->str_read);
    Py_CLEAR(st->str_write);
    Py_CLEAR(st->str_pending);
    Py_CLEAR(st->str_do_write);
    Py_CLEAR(st->str_write_appdata);
    Py_CLEAR(st->str_control_app_writing);
    Py_CLEAR(st->str_control_ssl_reading);
    Py_CLEAR(st->str_call_eof_received);
    Py_CLEAR(st->str_start_shutdown);
    Py_CLEAR(st->endpoint_type);
    Py_CLEAR(st->str_begin);
    Py_CLEAR(st->str_read_ready);
    Py_CLEAR(st->str_fileno);
    Py_CLEAR(st->str_datagram_received);
    Py_CLEAR(st->str_error_received);
    Py_CLEAR(st->str_sendto);
}
