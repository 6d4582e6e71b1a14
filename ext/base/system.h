/* Whether what only Linux has may be used. FLUVIAL_PORTABLE=1 (setup.py) compiles on Linux what other
 * systems get, so that it is tested. Files that differ stand in one list: docs/ARCHITECTURE.md.
 * Thread: any.
 */
#ifndef FLUVIAL_BASE_SYSTEM_H
#define FLUVIAL_BASE_SYSTEM_H

#if defined(__linux__) && !defined(FLUVIAL_PORTABLE)
#define FLUVIAL_LINUX 1
#else
#define FLUVIAL_LINUX 0
#endif

#endif
