#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

/// Whether allocations are counted at all: over glibc, and not under a sanitizer, which has an allocator of its own.
bool allocation_counter_counts(void);

/// Blocks that this process was given so far, of all threads; a block that realloc changed counts once more.
uint64_t allocation_counter_allocations(void);

#endif
