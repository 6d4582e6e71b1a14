/* Static probes for tracers such as bpftrace, perf and gdb: PROBE(name, arguments...). Each is one nop and a
 * note in the ELF section .note.stapsdt, under the provider "fluvial", until a tracer puts a breakpoint
 * there. docs/guide/debugging.md lists all of them with their arguments.
 *
 * Arguments are computed whether or not somebody traces: pass what is at hand, call nothing. There
 * are one to six, integers or pointers. setup.py defines FLUVIAL_PROBES where the compiler finds
 * <sys/sdt.h> (Debian: systemtap-sdt-dev); without it a probe is nothing.
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
