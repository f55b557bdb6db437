/* template.h - fills marks in a JSON text. */
#ifndef FLUX2_BASE_TEMPLATE_H
#define FLUX2_BASE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

/* A value for the first occurrence of a mark in the template. */
struct flux2_template_value {
    const char *mark, *text; /* text NULL: JSON null */
    size_t size;             /* bytes of `text` */
    bool quoted;             /* it is a JSON value, not part of a string */
    bool for_xml;            /* the text may also stand in XML: < > and & are escaped as in JSON */
};

/* Returns TEXT with COUNT values, escaped as in JSON strings, which the caller frees; NULL if out of memory. The marks
 * must occur in this order; a missing one is skipped. */
char *flux2_template_fill(const char *text, const struct flux2_template_value *values, size_t count);

#endif
