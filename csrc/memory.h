/* memory.h - what was learned about kinds of tasks, by name: shared by all who poll, and kept in a file if asked.
 *
 * Owns: one sketch for each name, their lock, and the file. The host's thread makes kinds and reads the file, the
 * engine's thread learns and writes it; neither waits for a disk that the other one uses. Never: knows what a name
 * means. */
#ifndef FLUX2_MEMORY_H
#define FLUX2_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "sketch.h"

struct flux2_memory;
/* The sketch of one name; lives as long as its memory is held. */
struct flux2_kind;

enum { FLUX2_MEMORY_TEXT_MAX = 1 << 20 }; /* bytes: no file of ours is larger */

/* A memory, held once; PATH is where to keep it, NULL for nowhere. NULL without memory. */
struct flux2_memory *flux2_memory_new(const char *path);
struct flux2_memory *flux2_memory_hold(struct flux2_memory *memory);
/* Gives up one hold; the last one writes what the file does not know yet. NULL is allowed. */
void flux2_memory_release(struct flux2_memory *memory);

/* The kind called NAME, made if need be; NULL without memory, and in a forked child. Does not hold the memory. */
struct flux2_kind *flux2_memory_kind(struct flux2_memory *memory, const char *name);
struct flux2_kind *flux2_kind_hold(struct flux2_kind *kind);
/* NULL is allowed. */
void flux2_kind_release(struct flux2_kind *kind);

/* As flux2_sketch_learn; writes the file if that has not been done within the last seconds. NOW is any steady clock. */
void flux2_kind_learn(struct flux2_kind *kind, double low, double high, double now);
/* The sketch, which nobody changes until it is given back. Not for long: everybody else who learns or reads waits. */
const struct flux2_sketch *flux2_kind_borrow(struct flux2_kind *kind);
void flux2_kind_give_back(struct flux2_kind *kind);

/* The text of the file, which the caller frees; NULL without memory. */
char *flux2_memory_text(struct flux2_memory *memory);
/* Takes over what such a text says, if all of it makes sense; otherwise nothing has changed, and *REASON says why.
 * A text that is not ours at all also keeps the file from being written. */
bool flux2_memory_load(struct flux2_memory *memory, const char *text, size_t size, const char **reason);
/* Keeps the file from being written. */
void flux2_memory_detach(struct flux2_memory *memory);

#endif
