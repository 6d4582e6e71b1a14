/* The module's state: one struct per layer, described in that layer's header. A layer accesses its
 * own part through <layer>_state(module) and never the parts of others.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_STATE_H
#define FLUVIAL_STATE_H

#include "base/py.h"
#include "loop/loop_state.h"
#include "net/net_state.h"
#include "http/http_state.h"
#include "app/app_state.h"
#include "asgi/asgi_state.h"
#include "pool/pool_state.h"
#include "route/route_state.h"
#include "transport/transport_state.h"
#include "wsgi/wsgi_state.h"

typedef struct ModuleState {
    RouteState route;
    LoopState loop;
    PoolState pool;
    NetState net;
    TransportState transport;
    HttpState http;
    AppState app;
    AsgiState asgi;
    WsgiState wsgi;
} ModuleState;

#endif
