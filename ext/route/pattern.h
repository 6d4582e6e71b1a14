/* A parsed route pattern: literal text and captures, in order. Thread: any. */
#ifndef FLUVIAL_ROUTE_PATTERN_H
#define FLUVIAL_ROUTE_PATTERN_H

#include "base/py.h"
#include "base/slice.h"
#include "route/router.h"

typedef enum CaptureKind {
    CAPTURE_UUID,
    CAPTURE_INT,
    CAPTURE_FLOAT,
    CAPTURE_STR,
    CAPTURE_PATH,
} CaptureKind;

typedef struct PatternPart {
    bool is_capture;
    CaptureKind kind; /* only if is_capture */
    Slice text; /* the literal text, or the capture's name; borrowed from the pattern */
} PatternPart;

/* Captures, and literal text before, between and after them. */
enum { PATTERN_PARTS_MAX = 2 * ROUTE_CAPTURES_MAX + 1 };

typedef struct Pattern {
    unsigned nparts;
    unsigned ncaptures;
    PatternPart parts[PATTERN_PARTS_MAX];
} Pattern;

/* Parses `text`; see router_add. On an error, `error_at` is its offset in `text`. */
RouteError pattern_parse(Slice text, Pattern *out, size_t *error_at);

#endif
