/* Set-up and tear-down of the loop layer's part of the module's state (see loop_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "loop/loop_state.h"
#include "base/names.h"
#include "loop/all_tasks.h"
#include "loop/eager.h"
#include "loop/handle.h"
#include "loop/loop_impl.h"
#include "loop/sockop.h"

/* ---- Set-up ------------------------------------------------------------------------------- */

/* New in 3.14. */
static int
import_threadsafe_handle(LoopState *st)
{
    if (name_import(&st->asyncio_threadsafe_handle, "asyncio.events",
                    "_ThreadSafeHandle")
        == 0) {
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear(); /* an older Python: call_soon_threadsafe gives a Handle */
    return 0;
}

/* Where the Task is that asyncio.current_task() knows. Before 3.14 that function knows tasks in Python as
 * well as those in C; since then it knows those in C alone, and nest_asyncio may have put the
 * others into asyncio before this runs.
 */
#if PY_VERSION_HEX >= 0x030E0000
#define TASK_MODULE "_asyncio"
#else
#define TASK_MODULE "asyncio"
#endif

static int
loop_setup_imports(LoopState *st)
{
    if (name_import(&st->asyncio_handle, "asyncio", "Handle") < 0
        || name_import(&st->asyncio_timer_handle, "asyncio", "TimerHandle") < 0
        || import_threadsafe_handle(st) < 0
        || name_import(&st->future_type, "asyncio", "Future") < 0
        || name_import(&st->task_type, TASK_MODULE, "Task") < 0
        || name_import(&st->extract_stack, "asyncio.format_helpers", "extract_stack")
               < 0
        || name_import(&st->get_running_loop, "asyncio", "_get_running_loop") < 0) {
        return -1;
    }
    PyObject *base = NULL;
    if (name_import(&base, "asyncio", "BaseEventLoop") < 0) {
        return -1;
    }
    st->base_create_task = PyObject_GetAttrString(base, "create_task");
    Py_DECREF(base);
    return st->base_create_task == NULL ? -1 : 0;
}

static int
loop_setup_strings(LoopState *st)
{
    if (name_intern(&st->str_context, "context") < 0
        || name_intern(&st->str_call_exception_handler, "call_exception_handler") < 0
        || name_intern(&st->str_callback_failed, "_callback_failed") < 0
        || name_intern(&st->str_check_thread, "_check_thread") < 0
        || name_intern(&st->str_loop, "loop") < 0
        || name_intern(&st->str_message, "message") < 0
        || name_intern(&st->str_exception, "exception") < 0
        || name_intern(&st->str_self, "__self__") < 0
        || name_intern(&st->str_done, "done") < 0) {
        return -1;
    }
    st->empty_args = PyTuple_New(0);
    return st->empty_args == NULL ? -1 : 0;
}

int
loop_setup(PyObject *module, LoopState *st)
{
    st->module = module;
    if (loop_setup_imports(st) < 0 || loop_setup_strings(st) < 0
        || handle_setup(module, st) < 0 || eager_setup(st) < 0
        || sockop_setup(module, st) < 0) {
        return -1;
    }
    return loop_type_setup(module, st);
}

/* ---- Tear-down ---------------------------------------------------------------------------- */

int
loop_traverse(LoopState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->loop_type);
    Py_VISIT(st->handle_type);
    Py_VISIT(st->timer_handle_type);
    Py_VISIT(st->threadsafe_handle_type);
    Py_VISIT(st->asyncio_handle);
    Py_VISIT(st->asyncio_timer_handle);
    Py_VISIT(st->asyncio_threadsafe_handle);
    Py_VISIT(st->future_type);
    Py_VISIT(st->task_type);
    Py_VISIT(st->base_create_task);
    Py_VISIT(st->extract_stack);
    Py_VISIT(st->get_running_loop);
    int err = sockop_traverse(st, visit, arg);
    return err == 0 ? all_tasks_traverse(&st->all_tasks, visit, arg) : err;
}

void
loop_clear(LoopState *st)
{
    handle_free_lists(st);
    all_tasks_clear(&st->all_tasks);
    sockop_clear(st);
    Py_CLEAR(st->loop_type);
    Py_CLEAR(st->handle_type);
    Py_CLEAR(st->timer_handle_type);
    Py_CLEAR(st->threadsafe_handle_type);
    Py_CLEAR(st->asyncio_handle);
    Py_CLEAR(st->asyncio_timer_handle);
    Py_CLEAR(st->asyncio_threadsafe_handle);
    Py_CLEAR(st->future_type);
    Py_CLEAR(st->task_type);
    Py_CLEAR(st->base_create_task);
    Py_CLEAR(st->extract_stack);
    Py_CLEAR(st->get_running_loop);
    Py_CLEAR(st->empty_args);
    Py_CLEAR(st->kw_context);
    Py_CLEAR(st->eager_keywords);
    Py_CLEAR(st->enter_task);
    Py_CLEAR(st->leave_task);
    Py_CLEAR(st->str_name);
    Py_CLEAR(st->str_context);
    Py_CLEAR(st->str_call_exception_handler);
    Py_CLEAR(st->str_callback_failed);
    Py_CLEAR(st->str_check_thread);
    Py_CLEAR(st->str_loop);
    Py_CLEAR(st->str_message);
    Py_CLEAR(st->str_exception);
    Py_CLEAR(st->str_self);
    Py_CLEAR(st->str_done);
}
