/* The module's state: one struct for each room that needs one, described in the room's header. A room
 * reaches its part through <room>_state(module), and those of the rooms it stands on in the same way;
 * only module.c knows all of them.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_STATE_H
#define FLUVIAL_STATE_H

#include "base/py.h"
#include "loop/loop_state.h"
#include "net/net_state.h"
#include "app/app_state.h"
#include "asgi/asgi_state.h"
#include "files/files_state.h"
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
    AppState app;
    AsgiState asgi;
    FilesState files;
    WsgiState wsgi;
} ModuleState;

#endif
