/* A token lies in a match of at least eight tokens exactly if it lies in one of eight: such windows suffice. */
#include "attribution/span_echo.h"

#include "attribution/span_rule.h"

#include <string.h>

static int compare_windows(const int32_t *a, const int32_t *b)
{
    for (int i = 0; i < SPAN_ECHO_TOKENS; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

/* Restores the heap below `root` of places[0 .. n): every window is at least as large as its two children. */
static void sift(const int32_t *prompt, uint32_t *places, uint32_t root, uint32_t n)
{
    uint32_t moved = places[root], child;
    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n && compare_windows(prompt + places[child], prompt + places[child + 1]) < 0)
            child++;
        if (compare_windows(prompt + moved, prompt + places[child]) >= 0)
            break;
        places[root] = places[child];
        root = child;
    }
    places[root] = moved;
}

/* Heapsort: no memory, and no prompt makes it slow. */
uint32_t span_echo_sort(const int32_t *prompt, size_t prompt_tokens, uint32_t *places)
{
    uint32_t n = prompt_tokens < SPAN_ECHO_TOKENS ? 0 : (uint32_t)(prompt_tokens - SPAN_ECHO_TOKENS + 1);
    for (uint32_t i = 0; i < n; i++)
        places[i] = i;
    for (uint32_t i = n / 2; i-- > 0;)
        sift(prompt, places, i, n);
    for (uint32_t last = n; last-- > 1;) {
        uint32_t largest = places[0];
        places[0] = places[last];
        places[last] = largest;
        sift(prompt, places, 0, last);
    }
    return n;
}

static bool holds(const int32_t *prompt, const uint32_t *places, uint32_t windows, const int32_t *window)
{
    uint32_t low = 0, high = windows;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_windows(prompt + places[middle], window);
        if (!order)
            return true;
        *(order < 0 ? &low : &high) = order < 0 ? middle + 1 : middle;
    }
    return false;
}

void span_echo_mark(const int32_t *prompt, const uint32_t *places, uint32_t windows, const int32_t *choice,
                    size_t choice_tokens, bool *echo)
{
    for (size_t i = 0; i + SPAN_ECHO_TOKENS <= choice_tokens && windows; i++)
        if (holds(prompt, places, windows, choice + i))
            memset(echo + i, true, SPAN_ECHO_TOKENS);
}
