/* What every file of the extension includes first: Python, the C library's basic types,
 * and one name for each thing that CPython spells differently between 3.11 and 3.14.
 * Nothing here has state.
 * Thread: any.
 */
#ifndef FLUVIAL_BASE_PY_H
#define FLUVIAL_BASE_PY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The struct of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member)                                                \
    ((type *)((char *)(ptr) - offsetof(type, member)))

#endif
