/* SPDX-License-Identifier: MIT */
/* Text that goes into YAML or into a line. */
#ifndef COCOON_HINT_TEXT_H
#define COCOON_HINT_TEXT_H

#include <stdbool.h>

#include "buf.h"

/* UTF-8 without control characters: one line, whatever reads it. */
bool text_is_line(const char *s);
/* s in double quotes, all but printable ASCII escaped, so that YAML 1.1 and
 * 1.2 readers of any age agree. s must be UTF-8. */
void yaml_quote(struct buf *out, const char *s);

#endif
