/* What of an answer is an echo of its prompt (docs/attribution.md §2, rule 1). */
#ifndef OPENLORA_ATTRIBUTION_SPAN_ECHO_H
#define OPENLORA_ATTRIBUTION_SPAN_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The prompt's windows of SPAN_ECHO_TOKENS tokens in numeric order. places (prompt_tokens) is filled; returns how many
 * windows there are. Time n log n. */
uint32_t span_echo_sort(const int32_t *prompt, size_t prompt_tokens, uint32_t *places);

/* Sets echo[i] for every token of this choice that lies in a match of at least SPAN_ECHO_TOKENS tokens with the prompt;
 * leaves the others. */
void span_echo_mark(const int32_t *prompt, const uint32_t *places, uint32_t windows, const int32_t *choice,
                    size_t choice_tokens, bool *echo);

#endif
