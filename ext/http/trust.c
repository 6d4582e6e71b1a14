/* The list of trusted proxies (see trust.h). It is short and looked at once per connection, and once for
 * each address in a header field of a trusted peer. The server owns it. The loop's thread.
 */
#include "base/py.h"

#include "http/trust.h"

#include <uv.h>

int
trust_set(Trust *trust, Slice nets, bool unix_sockets, uint8_t fields)
{
    if (nets.len % TRUST_NET != 0) {
        return UV_EINVAL;
    }
    for (size_t i = 0; i < nets.len; i += TRUST_NET) {
        if ((uint8_t)nets.ptr[i + TRUST_NET - 1] > 128) {
            return UV_EINVAL;
        }
    }
    uint8_t *copy = nets.len == 0 ? NULL : PyMem_RawMalloc(nets.len);
    if (copy == NULL && nets.len != 0) {
        return UV_ENOMEM;
    }
    if (copy != NULL) {
        memcpy(copy, nets.ptr, nets.len);
    }
    trust_clear(trust);
    *trust = (Trust){.nets = copy,
                     .count = nets.len / TRUST_NET,
                     .unix_sockets = unix_sockets,
                     .fields = fields & RARE_PROXIES};
    return 0;
}

void
trust_clear(Trust *trust)
{
    PyMem_RawFree(trust->nets);
    *trust = (Trust){.nets = NULL};
}

static bool
net_has(const uint8_t *net, const uint8_t addr[16])
{
    size_t bits = net[TRUST_NET - 1];
    size_t whole = bits / 8;
    if (memcmp(net, addr, whole) != 0) {
        return false;
    }
    uint8_t mask = (uint8_t)(0xff00 >> (bits % 8));
    return bits % 8 == 0 || ((net[whole] ^ addr[whole]) & mask) == 0;
}

bool
trust_has(const Trust *trust, const NetAddr *addr)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    if (addr->family == AF_INET) {
        memcpy(bytes + 12, &addr->in4.sin_addr, 4);
    } else if (addr->family == AF_INET6) {
        memcpy(bytes, &addr->in6.sin6_addr, 16);
    } else {
        return trust->unix_sockets;
    }
    for (size_t i = 0; i < trust->count; i++) {
        if (net_has(trust->nets + i * TRUST_NET, bytes)) {
            return true;
        }
    }
    return false;
}
