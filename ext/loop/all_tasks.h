/* The set that asyncio.all_tasks() reads. Every new Task of the process is added to it.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_LOOP_ALL_TASKS_H
#define FLUVIAL_LOOP_ALL_TASKS_H

#include "base/py.h"
#include "loop/loop_state.h"

/* Makes asyncio use the functions of all_tasks.c for the set. Done once, when the first loop is
 * made. 0, or -1 with an exception set. */
int all_tasks_setup(LoopState *st);

int all_tasks_traverse(AllTasks *tasks, visitproc visit, void *arg);
void all_tasks_clear(AllTasks *tasks);

#endif
