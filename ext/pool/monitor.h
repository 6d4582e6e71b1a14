/* The thread that reads the workers' CPU clocks and adjusts the limit. It never takes the GIL,
 * because under load it would get it too late. It sleeps while there is nothing to decide.
 * Thread: any, with or without the lock as each function says.
 */
#ifndef FLUVIAL_POOL_MONITOR_H
#define FLUVIAL_POOL_MONITOR_H

#include "pool/pool_shared.h"

/* With the lock: whether waiting jobs need more than the one worker that was woken for them. */
bool monitor_needed(const Pool *pool);

/* With the lock: wakes the monitor, or starts it. */
void monitor_rouse(Pool *pool);

/* Without the lock, in phase CLOSED: ends the monitor. */
void monitor_stop(Pool *pool);

#endif
