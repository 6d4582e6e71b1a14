/* Static probes for tracers such as bpftrace, perf and gdb: PROBE(name, arguments...). A probe is one
 * nop, and a note in the ELF section .note.stapsdt under the provider "fluvial". A tracer puts a
 * breakpoint there. docs/guide/debugging.md lists all probes with their arguments.
 *
 * Arguments are computed even when no tracer is attached, so pass existing values and call nothing.
 * There are one to six arguments, integers or pointers. setup.py defines FLUVIAL_PROBES if the
 * compiler finds <sys/sdt.h> (Debian: systemtap-sdt-dev); without it, probes compile to nothing.
 * Thread: any; the GIL is not needed.
 */
#ifndef FLUVIAL_BASE_PROBE_H
#define FLUVIAL_BASE_PROBE_H

#ifdef FLUVIAL_PROBES
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define PROBE(name, ...) STAP_PROBEV(fluvial, name, __VA_ARGS__)
#else
#define PROBE(...) ((void)0)
#endif

#endif
