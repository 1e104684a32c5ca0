/* The address of a private endpoint. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/network.h"

#define RESERVED 4    /* first addresses of a subnet, as in the service */
#define TRIES    4096 /* addresses looked at in a large subnet */

struct taken {
    const char *subnet;
    const char *address;
    bool found;
};

static bool look(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct taken *t = ctx;
    struct endpoint e;
    (void)f;
    t->found = endpoint_read(&r->json, &e) && strcmp(e.address, t->address) == 0 &&
               bytes_ieq(bytes_str(e.subnet), bytes_str(t->subnet));
    return !t->found;
}

static bool is_taken(struct fabric *f, const char *subnet, const char *address)
{
    struct taken t = {.subnet = subnet, .address = address};
    arm_each(f, bytes_str("/subscriptions/"), &network_endpoint_type, look, &t);
    return t.found;
}

static void add(struct network_address *a, uint32_t n)
{
    uint64_t carry = n;
    for (size_t i = sizeof a->b; i > 0 && carry > 0; i--) {
        carry += a->b[i - 1];
        a->b[i - 1] = (uint8_t)carry;
        carry >>= 8;
    }
}

static bool first_free(struct fabric *f, const struct network_cidr *c, const char *subnet,
                       char dst[NETWORK_CIDR_TEXT_MAX])
{
    for (uint32_t i = RESERVED; i < TRIES; i++) {
        struct network_address a = c->first, after = c->first;
        add(&a, i);
        add(&after, i + 1);
        if (!network_cidr_has(c, &after)) /* the last address is reserved, too */
            return false;
        network_address_format(&a, dst);
        if (!is_taken(f, subnet, dst))
            return true;
    }
    return false;
}

/* What the client wants: "" when it does not say. */
static void asked_for(struct fabric *f, const struct arm_put *p, const char *subnet, char *dst,
                      size_t cap)
{
    uint32_t list = json_get_nn(p->body, arm_properties(p->body), "ipConfigurations");
    uint32_t v = list != JSON_NONE ? json_first(p->body, list) : JSON_NONE;
    uint32_t c = v != JSON_NONE ? json_get_nn(p->body, v, "properties") : JSON_NONE;
    if (!arm_string(p->body, c, "privateIPAddress", dst, cap) &&
        !arm_string(p->body, json_get_nn(p->body, 0, "tags"), "keyhold-address", dst, cap))
        (void)network_subnet_tag(f, bytes_str(subnet), "keyhold-address", dst, cap);
}

bool endpoint_address(struct fabric *f, const struct arm_put *p, const char *subnet,
                      char dst[NETWORK_CIDR_TEXT_MAX], struct answer *a)
{
    char text[NETWORK_CIDR_TEXT_MAX];
    struct network_cidr c;
    struct network_address address;
    if (!network_subnet_prefix(f, bytes_str(subnet), &c))
        return arm_error(a, 400, "InvalidResourceReference", "There is no subnet %s.", subnet);
    asked_for(f, p, subnet, text, sizeof text);
    if (text[0] == 0)
        return first_free(f, &c, subnet, dst) ||
               arm_error(a, 400, "SubnetIsFull", "Subnet %s has no free address.", subnet);
    if (network_address_parse(bytes_str(text), &address) != HSM_OK ||
        !network_cidr_has(&c, &address))
        return arm_error(a, 400, "PrivateIPAddressNotInSubnet",
                         "The address %s does not belong to subnet %s.", text, subnet);
    network_address_format(&address, dst);
    return true;
}
