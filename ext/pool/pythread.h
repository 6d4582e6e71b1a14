/* The things that threading.Thread does before and after its target and that our threads must do as
 * well, so that tracers, profilers and threading.current_thread() work in `def` handlers.
 *
 * None of the functions fails.
 * Thread: the one that begins or ends, with the GIL.
 */
#ifndef FLUVIAL_POOL_PYTHREAD_H
#define FLUVIAL_POOL_PYTHREAD_H

#include "base/py.h"

/* Installs the functions that threading.settrace and threading.setprofile set for new threads. */
void pythread_begin(void);

/* Some tools replace the function by which Python starts threads; pydevd does so before 3.12 to trace
 * them. In that case, runs body(arg) on a thread started by the replacement and waits for its end.
 * False when there is no replacement or no thread could be started; then nothing was run. */
bool pythread_run_hooked(void (*body)(void *), void *arg);

/* Removes the dummy Thread that threading.current_thread() made, if it was called. */
void pythread_end(void);

#endif
