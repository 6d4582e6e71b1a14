/* The guard (see stop_guard.h) consists of handlers for SIGINT and SIGTERM, which run before
 * Python's own, and of a kernel timer whose signal makes Python run its handlers or ends the process. It
 * has no thread, so that forking stays safe. A signal handler gets no context argument, so it finds
 * the guard in a table, signal_slots.
 */
#include "base/py.h"

#include "app/stop_guard.h"
#include "base/system.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#if FLUVIAL_LINUX
#include <sys/prctl.h>
#else
#include <sys/time.h>
#endif

enum { STATUS_INTERRUPTED = 128 + SIGINT };
#define NEVER INT64_MAX
#define STACKS_TIME 500000000 /* ns that writing the stacks may take */
#define REMIND 50000000       /* ns until the first reminder */
#define LATE "WARNING The server did not stop in time; its process is ended now\n"

typedef struct StopGuard {
    pid_t pid;    /* of the process that opened the guard: a forked child differs */
    pid_t parent; /* of a worker: a SIGINT from the parent ends it at once; else 0 */
    int error;    /* borrowed: descriptor for the final message, or -1 */
    int stacks;   /* the signal whose handler writes the stacks of all threads, or 0 */
    _Atomic int64_t patience; /* ns from the first signal to the end */
    _Atomic int64_t urgency;  /* ns from a second SIGINT to the end */
    _Atomic int64_t deadline; /* on the monotonic clock, or NEVER */
    _Atomic int64_t pause;    /* ns until the next reminder, doubled by each; or 0 */
    atomic_int stops, interrupts; /* signals so far */
    atomic_bool forced;           /* one of them asked for an immediate end */
    atomic_bool ending;           /* the final message is being written */
    atomic_bool counted[NSIG];    /* by the handler, and not yet by guard_note() */
#if FLUVIAL_LINUX
    timer_t timer;
#endif
} StopGuard;

/* The guard for each signal's handler. A process has one guard at a time, from guard_open() to
 * guard_close(). */
static _Atomic(StopGuard *) signal_slots[NSIG];

static int
guard_timer_signal(void)
{
#if FLUVIAL_LINUX
    return SIGRTMAX - 2;
#else
    return SIGALRM;
#endif
}

/* ---- The deadline; all of this is safe in a signal handler ------------------------------- */

static int64_t
now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Whether Python hasn't called its handler yet. It looks for signals between two calls. One that
 * arrives after that look, and before a call such as time.sleep() blocks, would wait until the call
 * returns; 3.14 and later don't even look after a call with keywords. The timer's signal interrupts
 * such a call, and Python looks again. */
static bool
guard_has_unnoted(StopGuard *guard)
{
    return atomic_load(&guard->counted[SIGINT])
           || atomic_load(&guard->counted[SIGTERM]);
}

static void
guard_timer_set(StopGuard *guard, int64_t deadline)
{
    int64_t left = deadline == NEVER ? 0 : deadline - now_ns();
    if (deadline != NEVER && left < 1000) {
        left = 1000; /* 0 would mean never */
    }
    int64_t pause = guard_has_unnoted(guard) ? atomic_load(&guard->pause) : 0;
    if (pause != 0 && (left == 0 || pause < left)) {
        left = pause;
    }
#if FLUVIAL_LINUX
    struct itimerspec spec = {{0, 0}, {left / 1000000000, left % 1000000000}};
    (void)timer_settime(guard->timer, 0, &spec, NULL);
#else
    struct itimerval spec = {{0, 0}, {left / 1000000000, left % 1000000000 / 1000}};
    (void)setitimer(ITIMER_REAL, &spec, NULL);
#endif
}

static void
guard_timer_arm(StopGuard *guard, int64_t deadline)
{
    atomic_store(&guard->deadline, deadline);
    guard_timer_set(guard, deadline);
}

/* Sets the timer anew for the same deadline, which a signal may shorten meanwhile. */
static void
guard_timer_renew(StopGuard *guard)
{
    int64_t deadline;
    do {
        deadline = atomic_load(&guard->deadline);
        guard_timer_set(guard, deadline);
    } while (atomic_load(&guard->deadline) != deadline);
}

/* Sets the deadline to `after` nanoseconds from now, unless it is earlier already. */
static void
deadline_limit(StopGuard *guard, int64_t after)
{
    int64_t deadline = now_ns() + after;
    if (deadline < atomic_load(&guard->deadline)) {
        guard_timer_arm(guard, deadline);
    }
}

/* Counts a signal and sets the deadline. A second SIGINT shortens it to `urgency`. A second SIGTERM changes
 * nothing, because a worker often gets two: one from the service manager and one from its parent. */
static void
signal_count(StopGuard *guard, int number, bool from_parent)
{
    bool first = atomic_fetch_add(&guard->stops, 1) == 0;
    if (number == SIGINT) {
        int before = atomic_fetch_add(&guard->interrupts, 1);
        bool again = guard->parent == 0 ? !first : before > 0;
        if (from_parent || again) {
            atomic_store(&guard->forced, true);
            deadline_limit(guard, atomic_load(&guard->urgency));
        }
    }
    deadline_limit(guard, atomic_load(&guard->patience));
}

/* In a forked child the signal has its default effect. */
static void
signal_default(int number)
{
    (void)signal(number, SIG_DFL);
    (void)raise(number); /* blocked until the handler returns */
}

static void
on_stop(int number, siginfo_t *info, void *Py_UNUSED(context))
{
    int saved = errno;
    StopGuard *guard = atomic_load(&signal_slots[number]);
    if (guard == NULL || guard->pid != getpid()) {
        signal_default(number);
    } else {
        atomic_store(&guard->counted[number], true);
        atomic_store(&guard->pause, REMIND);
        signal_count(guard, number,
                     guard->parent != 0 && info->si_pid == guard->parent);
        guard_timer_renew(guard);
        PyErr_SetInterruptEx(number);
    }
    errno = saved;
}

/* Whether the handler that writes the stacks is still there. faulthandler gives it up when the interpreter
 * ends; from then on the signal would end the process, with the wrong status. */
static bool
stacks_can_be_written(int number)
{
    struct sigaction now;
    return number != 0 && sigaction(number, NULL, &now) == 0
           && now.sa_handler != SIG_DFL;
}

static void
on_deadline(int number)
{
    StopGuard *guard = atomic_load(&signal_slots[number]);
    if (guard == NULL || guard->pid != getpid()) {
        return;
    }
    int saved = errno;
    if (atomic_load(&guard->deadline) > now_ns()) {
        atomic_store(&guard->pause, atomic_load(&guard->pause) * 2);
        guard_timer_renew(guard);
        errno = saved;
        return;
    }
    struct pollfd error = {.fd = guard->error, .events = POLLOUT};
    if (!atomic_exchange(&guard->ending, true) && poll(&error, 1, 0) == 1
        && (error.revents & POLLOUT) != 0) {
        ssize_t unused = write(guard->error, LATE, sizeof LATE - 1);
        (void)unused;
        if (stacks_can_be_written(guard->stacks)) {
            /* It may wait for a reader: this handler interrupts itself then. */
            guard_timer_arm(guard, now_ns() + STACKS_TIME);
            (void)raise(guard->stacks);
        }
    }
    _exit(atomic_load(&guard->forced) ? STATUS_INTERRUPTED : 0);
}

/* ---- Opening and closing ----------------------------------------------------------------- */

static int64_t
seconds_to_ns(double seconds)
{
    return seconds < 1e9 ? (int64_t)(seconds * 1e9) : (int64_t)1e18;
}

static int
guard_timer_open(StopGuard *guard)
{
#if FLUVIAL_LINUX
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
                             .sigev_signo = guard_timer_signal()};
    if (timer_create(CLOCK_MONOTONIC, &event, &guard->timer) != 0) {
        return -1;
    }
#endif
    struct sigaction action = {.sa_handler = on_deadline,
                               .sa_flags = SA_ONSTACK | SA_NODEFER};
    atomic_store(&signal_slots[guard_timer_signal()], guard);
    return sigaction(guard_timer_signal(), &action, NULL);
}

/* Installs our handler for SIGINT and SIGTERM. Python's handlers are still called, through
 * PyErr_SetInterruptEx. */
static int
signals_take(StopGuard *guard)
{
    struct sigaction action = {.sa_sigaction = on_stop,
                               .sa_flags = SA_ONSTACK | SA_SIGINFO};
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(numbers); i++) {
        atomic_store(&signal_slots[numbers[i]], guard);
        if (sigaction(numbers[i], &action, NULL) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Asks the kernel for a SIGTERM when the parent ends, so that no worker outlives it. */
static void
parent_watch(pid_t parent)
{
#if FLUVIAL_LINUX
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        (void)raise(SIGTERM); /* it ended before the line above */
    }
#else
    (void)parent;
#endif
}

static StopGuard *
guard_current(void)
{
    StopGuard *guard = atomic_load(&signal_slots[SIGTERM]);
    return guard != NULL && guard->pid == getpid() ? guard : NULL;
}

static void
guard_free(StopGuard *guard)
{
    guard_timer_arm(guard, NEVER);
    (void)signal(guard_timer_signal(), SIG_IGN); /* one may be on its way */
    atomic_store(&signal_slots[SIGINT], NULL);
    atomic_store(&signal_slots[SIGTERM], NULL);
    atomic_store(&signal_slots[guard_timer_signal()], NULL);
#if FLUVIAL_LINUX
    (void)timer_delete(guard->timer);
#endif
    PyMem_RawFree(guard);
}

static PyObject *
guard_open(PyObject *Py_UNUSED(module), PyObject *args)
{
    double patience, urgency;
    int parent = 0, error = STDERR_FILENO, stacks = 0;
    if (!PyArg_ParseTuple(args, "dd|iii", &patience, &urgency, &parent, &error,
                          &stacks)) {
        return NULL;
    }
    if (guard_current() != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this process has a guard already");
        return NULL;
    }
    StopGuard *guard = PyMem_RawCalloc(1, sizeof *guard);
    if (guard == NULL) {
        return PyErr_NoMemory();
    }
    guard->pid = getpid();
    guard->parent = parent;
    guard->error = error;
    guard->stacks = stacks;
    atomic_init(&guard->patience, seconds_to_ns(patience));
    atomic_init(&guard->urgency, seconds_to_ns(urgency));
    atomic_init(&guard->deadline, NEVER);
    if (guard_timer_open(guard) != 0 || signals_take(guard) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (parent != 0) {
        parent_watch(parent);
    }
    Py_RETURN_NONE;
}

/* ---- For Python's handlers and the server ------------------------------------------------ */

static PyObject *
guard_close(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    StopGuard *guard = guard_current();
    if (guard != NULL) {
        guard_free(guard);
    }
    Py_RETURN_NONE;
}

static PyObject *
guard_note(PyObject *Py_UNUSED(module), PyObject *arg)
{
    long number = PyLong_AsLong(arg);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    StopGuard *guard = guard_current();
    if (guard == NULL || number <= 0 || number >= NSIG) {
        Py_RETURN_FALSE;
    }
    if (!atomic_exchange(&guard->counted[number], false)) {
        signal_count(guard, (int)number,
                     false); /* another handler replaced ours and called Python's */
    }
    guard_timer_renew(guard); /* without the reminder */
    return PyBool_FromLong(atomic_load(&guard->forced));
}

/* Sets the deadline; without `replace` only to an earlier one. */
static PyObject *
guard_deadline(PyObject *Py_UNUSED(module), PyObject *args)
{
    double seconds;
    int replace = 0;
    if (!PyArg_ParseTuple(args, "d|p", &seconds, &replace)) {
        return NULL;
    }
    StopGuard *guard = guard_current();
    if (guard != NULL && replace) {
        guard_timer_arm(guard, now_ns() + seconds_to_ns(seconds));
    } else if (guard != NULL) {
        deadline_limit(guard, seconds_to_ns(seconds));
    }
    Py_RETURN_NONE;
}

static PyObject *
guard_patience(PyObject *Py_UNUSED(module), PyObject *arg)
{
    double seconds = PyFloat_AsDouble(arg);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    StopGuard *guard = guard_current();
    if (guard != NULL) {
        atomic_store(&guard->patience, seconds_to_ns(seconds));
    }
    Py_RETURN_NONE;
}

static PyObject *
signal_is_default(PyObject *Py_UNUSED(module), PyObject *arg)
{
    long number = PyLong_AsLong(arg);
    struct sigaction action;
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (sigaction((int)number, NULL, &action) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    bool plain = (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL;
    return PyBool_FromLong(plain);
}

static PyMethodDef guard_methods[] = {
    {"guard_open", guard_open, METH_VARARGS, NULL},
    {"guard_close", guard_close, METH_NOARGS, NULL},
    {"guard_note", guard_note, METH_O, NULL},
    {"guard_deadline", guard_deadline, METH_VARARGS, NULL},
    {"guard_patience", guard_patience, METH_O, NULL},
    {"signal_is_default", signal_is_default, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int
stop_guard_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, guard_methods);
}
