/* Cuts a template into tokens: text, and the words between "{{ }}" and "{% %}". White space around tags is removed
 * here, by "-" and "+" signs and by trim_blocks and lstrip_blocks, both of which chat templates expect. */
#ifndef OPENLORA_MODEL_JINJA_LEX_H
#define OPENLORA_MODEL_JINJA_LEX_H

#include "model/arena.h"
#include "model/gguf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum jinja_token_kind {
    TOKEN_END,
    TOKEN_TEXT,
    TOKEN_OUTPUT_BEGIN, /* {{ */
    TOKEN_OUTPUT_END,
    TOKEN_BLOCK_BEGIN,  /* {% */
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING,       /* text: escapes resolved */
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_OPERATOR,     /* text: "==", "(", … */
};

struct jinja_token {
    enum jinja_token_kind kind;
    int line;
    struct text text;
    int64_t number;
    double real;
};

struct jinja_lexer {
    struct text source;
    size_t at;
    int line;
    bool line_start;    /* `at` is the start of a line */
    bool in_tag;        /* between the begin and end of a tag */
    bool in_output;     /* that tag is {{ }} */
    bool begin_pending; /* the text before a tag was delivered, its begin is next */
    int brackets;       /* open ( [ { in this tag */
    struct arena *memory;
    struct err *e;
    int rc;             /* of the first error; TOKEN_END from then on */
};

/* The source must have "\n" line ends. It and the arena are borrowed; texts of tokens live as long as they do. */
void jinja_lexer_init(struct jinja_lexer *x, struct text source, struct arena *memory, struct err *e);
struct jinja_token jinja_next_token(struct jinja_lexer *x);

#endif
