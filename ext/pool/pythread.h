/* What threading.Thread does around its target that a thread of ours should do as well,
 * so that tracers, profilers and threading.current_thread() work in `def` handlers.
 *
 * None of them fails.
 * Thread: the one that it is about, with the GIL.
 */
#ifndef FLUVIAL_POOL_PYTHREAD_H
#define FLUVIAL_POOL_PYTHREAD_H

#include "base/py.h"

/* Installs what threading.settrace and threading.setprofile left for new threads. */
void pythread_begin(void);

/* Where somebody has replaced the way in which Python starts threads, as pydevd does before 3.12 to
 * trace them: runs body(arg) on a thread that is started so, and waits for its end. False when
 * nobody has, or when no thread begins; then nothing was run. */
bool pythread_run_hooked(void (*body)(void *), void *arg);

/* Forgets the stand-in Thread that threading.current_thread() made, if it was
 * called. */
void pythread_end(void);

#endif
