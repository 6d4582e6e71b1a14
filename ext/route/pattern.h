/* A route's pattern taken apart: literal text and captures, in order. Thread: any. */
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
    CaptureKind kind; /* of a capture */
    Slice text;       /* literal text, or the capture's name; of the pattern */
} PatternPart;

/* Captures, and text before, between and after them. */
enum { PATTERN_PARTS_MAX = 2 * ROUTE_CAPTURES_MAX + 1 };

typedef struct Pattern {
    unsigned nparts;
    unsigned ncaptures;
    PatternPart parts[PATTERN_PARTS_MAX];
} Pattern;

/* Takes `text` apart; see router_add. On an error `error_at` is its offset in `text`. */
RouteError pattern_parse(Slice text, Pattern *out, size_t *error_at);

#endif
