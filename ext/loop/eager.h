/* Set-up for tasks that start at once; loop_step_enter() itself is in loop.h.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_LOOP_EAGER_H
#define FLUVIAL_LOOP_EAGER_H

#include "base/py.h"
#include "loop/loop_state.h"

/* Prepares what loop_step_enter() needs. 0, or -1 with an exception set. */
int eager_setup(LoopState *st);

#endif
