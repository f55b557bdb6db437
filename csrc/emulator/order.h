/* order.h - the rules for what a submission may ask.
 *
 * Owns: checking a request's JSON field by field, one message per rule, and its price.
 * Never: state. A leaf: bytes in, an order or a complaint out. */
#ifndef FLUX2_EMU_ORDER_H
#define FLUX2_EMU_ORDER_H

#include "tasks.h"

/* The order that BODY asks for, with defaults filled in; free it with flux2_emu_order_free in any case.
 * NULL if all is well, else what is wrong, for people. */
const char *flux2_emu_order_read(struct emu_order *order, const char *body, size_t len, char *complaint,
                                 size_t size);

/* The same of a request that was parsed already. Where something is wrong *FIELD is the name of what, or NULL. */
const char *flux2_emu_order_take(struct emu_order *order, const json_t *request, const char **field,
                                 char *complaint, size_t size);

/* A copy of all that it holds; false: out of memory. Free it in any case. */
bool flux2_emu_order_copy(struct emu_order *copy, const struct emu_order *order);

/* What it costs. Flex at 2K is not in the price list: that price is FLEX_2K. */
double flux2_emu_order_price(const struct emu_order *order, double flex_2k);

/* A number that the order decides, and nothing else. */
uint64_t flux2_emu_order_hash(const struct emu_order *order);

#endif
