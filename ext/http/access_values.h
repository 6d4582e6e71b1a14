/* The atoms of the access log: what each of them is in one exchange.
 * Thread: the loop's.
 */
#ifndef FLUVIAL_HTTP_ACCESS_VALUES_H
#define FLUVIAL_HTTP_ACCESS_VALUES_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"
#include "http/request.h"

#include <sys/types.h>
#include <time.h>

/* What happened in one exchange. */
typedef struct AccessEntry {
    const HttpRequest *req; /* borrowed; NULL when nothing of it could be read */
    const NetAddr *peer;    /* borrowed */
    Slice id;               /* of the request; empty: none */
    int status;
    uint64_t body;     /* bytes of the response's body */
    uint64_t sent;     /* bytes of the whole response, before TLS */
    uint64_t received; /* bytes of the request's body */
    uint64_t took;     /* ns from the request's first byte to the end of the response */
} AccessEntry;

typedef enum AccessKind {
    ACCESS_NOTHING, /* there is no value */
    ACCESS_BYTES,
    ACCESS_NUMBER,
    ACCESS_SECONDS, /* `number` is in microseconds and written as seconds */
} AccessKind;

typedef struct AccessValue {
    AccessKind kind;
    Slice text; /* valid until the next value is asked for */
    uint64_t number;
} AccessValue;

/* What values are made in, and of. */
typedef struct AccessScratch {
    Buf text; /* owned */
    char small[128];
    time_t second; /* of the two times below */
    char date[32], iso[20];
    pid_t pid;
    int worker;
} AccessScratch;

typedef AccessValue (*AccessGet)(AccessScratch *scratch, const AccessEntry *entry,
                                 Slice argument);

/* http_reason, and nginx's words for 499, which no response has. */
Slice access_reason(int status);
/* The function for an atom's name, or NULL. */
AccessGet access_value_named(Slice name);
/* The time as `2026-11-30T07:21:21.123Z`; valid until the next value is asked for. */
Slice access_value_time(AccessScratch *scratch);

#endif
