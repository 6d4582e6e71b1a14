/* What threading.Thread does around its target that a thread of ours should do as well,
 * so that tracers, profilers and threading.current_thread() work in `def` handlers.
 *
 * Both run on the thread itself, with the GIL, and never fail.
 */
#ifndef FLUVIAL_APP_PYTHREAD_H
#define FLUVIAL_APP_PYTHREAD_H

#include "base/py.h"

/* Installs what threading.settrace and threading.setprofile left for new threads. */
void pythread_begin(void);

/* Forgets the stand-in Thread that threading.current_thread() made, if it was
 * called. */
void pythread_end(void);

#endif
