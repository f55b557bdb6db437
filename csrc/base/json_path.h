/* json_path.h - lookup of JSON values by dotted path, such as "data.output.0.url". */
#ifndef FLUX2_BASE_JSON_PATH_H
#define FLUX2_BASE_JSON_PATH_H

#include "base/json.h"

/* Returns the value at PATH below ROOT (may be NULL). Steps are member names or array indexes from 0; "" is ROOT.
 * Returns NULL if the value is missing or null. */
const struct flux2_json_value *flux2_json_path(const struct flux2_json_value *root, const char *path);

#endif
