/* Statements, and what they share with expressions: the current token, new nodes, the first error.
 *
 * After an error every token is TOKEN_END, so that all loops end and no caller needs to check; the tree that was begun
 * is abandoned as a whole. Nodes come from one array that is large enough for any source of that many tokens. */
#include "model/jinja_parse.h"

#include <stdarg.h>
#include <stdio.h>

static struct jinja_node *parse_statements(struct jinja_parser *p, const char *const *ends);

struct jinja_node *jinja_parse_error(struct jinja_parser *p, int code, const char *format, ...)
{
    if (!p->rc && p->lexer.rc)
        p->rc = p->lexer.rc; /* it has said why */
    if (!p->rc) {
        char message[ERR_MESSAGE_BYTES];
        va_list ap;
        va_start(ap, format);
        vsnprintf(message, sizeof message, format, ap);
        va_end(ap);
        p->rc = err_set(p->e, code, "template", "chat template, line %d: %.200s", p->now.line, message);
    }
    p->now = (struct jinja_token){.kind = TOKEN_END, .line = p->now.line};
    return jinja_node_new(p, NODE_LITERAL);
}

void jinja_advance(struct jinja_parser *p)
{
    if (p->rc)
        return;
    p->now = p->ahead;
    p->ahead = jinja_next_token(&p->lexer);
}

struct jinja_node *jinja_node_new(struct jinja_parser *p, enum jinja_kind kind)
{
    CHECK(p->n_nodes < p->max_nodes);
    struct jinja_node *n = &p->nodes[p->n_nodes++];
    n->kind = kind;
    n->line = p->now.line;
    if (kind == NODE_LITERAL)
        n->literal = jinja_none();
    return n;
}

void jinja_adopt(struct jinja_parser *p, struct jinja_node *parent, const struct jinja_node *child)
{
    if (!child || child->height < parent->height)
        return;
    parent->height = child->height + 1;
    if (parent->height > 2 * JINJA_MAX_NESTING)
        jinja_parse_error(p, OL_ELIMIT, "an expression of more than %d levels", 2 * JINJA_MAX_NESTING);
}

static bool is_text(struct text t, const char *s) { return t.len == strlen(s) && !memcmp(t.data, s, t.len); }

bool jinja_at(const struct jinja_parser *p, const char *op)
{
    return p->now.kind == TOKEN_OPERATOR && is_text(p->now.text, op);
}

bool jinja_at_word(const struct jinja_parser *p, const char *word)
{
    return p->now.kind == TOKEN_NAME && is_text(p->now.text, word);
}

bool jinja_accept(struct jinja_parser *p, const char *op)
{
    bool here = jinja_at(p, op);
    if (here)
        jinja_advance(p);
    return here;
}

void jinja_expect(struct jinja_parser *p, const char *op)
{
    if (!jinja_accept(p, op))
        jinja_parse_error(p, OL_EFORMAT, "\"%s\" is missing", op);
}

static void expect_kind(struct jinja_parser *p, enum jinja_token_kind kind, const char *what)
{
    if (p->now.kind == kind)
        jinja_advance(p);
    else
        jinja_parse_error(p, OL_EFORMAT, "\"%s\" is missing", what);
}

static void end_of_block(struct jinja_parser *p) { expect_kind(p, TOKEN_BLOCK_END, "%}"); }

/* {% word %}: the closing tag of a statement. */
static void closing_tag(struct jinja_parser *p, const char *word)
{
    if (!jinja_at_word(p, word)) {
        jinja_parse_error(p, OL_EFORMAT, "%s is missing", word);
        return;
    }
    jinja_advance(p);
    end_of_block(p);
}

/* The word "if" or "elif" was accepted. Branches of elif are chained through `no`, without recursion. */
static struct jinja_node *parse_if(struct jinja_parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const end[] = {"endif", NULL};
    struct jinja_node *first = NULL, **link = &first;
    bool more = true;
    while (more && !p->rc) {
        struct jinja_node *n = jinja_node_new(p, NODE_IF);
        *link = n;
        link = &n->condition.no;
        n->condition.test = jinja_parse_tuple(p, false);
        end_of_block(p);
        n->condition.yes = parse_statements(p, ends);
        more = jinja_at_word(p, "elif");
        if (more)
            jinja_advance(p);
    }
    if (jinja_at_word(p, "else")) {
        jinja_advance(p);
        end_of_block(p);
        *link = parse_statements(p, end);
    }
    closing_tag(p, "endif");
    return first;
}

static struct jinja_node *parse_for(struct jinja_parser *p)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    static const char *const end[] = {"endfor", NULL};
    struct jinja_node *n = jinja_node_new(p, NODE_FOR);
    n->loop.target = jinja_parse_target(p, false);
    if (!jinja_at_word(p, "in"))
        jinja_parse_error(p, OL_EFORMAT, "\"in\" is missing");
    jinja_advance(p);
    n->loop.items = jinja_parse_tuple(p, false);
    if (jinja_at_word(p, "if")) {
        jinja_advance(p);
        n->loop.condition = jinja_parse_expression(p);
    }
    if (jinja_at_word(p, "recursive"))
        jinja_parse_error(p, OL_EUNSUPPORTED, "a recursive for is not supported");
    end_of_block(p);
    p->loops++;
    n->loop.body = parse_statements(p, ends);
    p->loops--;
    if (jinja_at_word(p, "else")) {
        jinja_advance(p);
        end_of_block(p);
        n->loop.otherwise = parse_statements(p, end);
    }
    closing_tag(p, "endfor");
    return n;
}

static struct jinja_node *parse_set(struct jinja_parser *p)
{
    static const char *const end[] = {"endset", NULL};
    struct jinja_node *n = jinja_node_new(p, NODE_SET);
    n->set.target = jinja_parse_target(p, true);
    if (jinja_accept(p, "=")) {
        n->set.value = jinja_parse_tuple(p, true);
        end_of_block(p);
        return n;
    }
    n->kind = NODE_SET_BLOCK;
    if (jinja_accept(p, "|"))
        n->set.filters = jinja_parse_filter_chain(p, NULL);
    end_of_block(p);
    n->set.body = parse_statements(p, end);
    closing_tag(p, "endset");
    return n;
}

static struct jinja_node *parse_macro(struct jinja_parser *p)
{
    static const char *const end[] = {"endmacro", NULL};
    struct jinja_node *n = jinja_node_new(p, NODE_MACRO), **link = &n->macro.parameters;
    n->macro.name = p->now.text;
    expect_kind(p, TOKEN_NAME, "a macro's name");
    jinja_expect(p, "(");
    while (!jinja_accept(p, ")") && !p->rc) {
        struct jinja_node *parameter = jinja_node_new(p, NODE_NAMED);
        parameter->named.name = p->now.text;
        expect_kind(p, TOKEN_NAME, "a parameter's name");
        if (jinja_accept(p, "="))
            parameter->named.value = jinja_parse_expression(p);
        *link = parameter;
        link = &parameter->next;
        if (!jinja_at(p, ")"))
            jinja_expect(p, ",");
    }
    end_of_block(p);
    int loops = p->loops;
    p->loops = 0;
    n->macro.body = parse_statements(p, end);
    p->loops = loops;
    closing_tag(p, "endmacro");
    return n;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p)
{
    static const char *const end[] = {"endfilter", NULL};
    struct jinja_node *n = jinja_node_new(p, NODE_FILTER_BLOCK);
    n->set.filters = jinja_parse_filter_chain(p, NULL);
    end_of_block(p);
    n->set.body = parse_statements(p, end);
    closing_tag(p, "endfilter");
    return n;
}

/* transformers' {% generation %} marks the assistant's part for training; it changes no text. */
static struct jinja_node *parse_generation(struct jinja_parser *p)
{
    static const char *const end[] = {"endgeneration", NULL};
    struct jinja_node *n = jinja_node_new(p, NODE_IF);
    n->condition.test = jinja_node_new(p, NODE_LITERAL);
    n->condition.test->literal = jinja_bool(true);
    end_of_block(p);
    n->condition.yes = parse_statements(p, end);
    closing_tag(p, "endgeneration");
    return n;
}

static struct jinja_node *parse_jump(struct jinja_parser *p, enum jinja_kind kind)
{
    if (!p->loops)
        jinja_parse_error(p, OL_EFORMAT, "break or continue outside a loop");
    struct jinja_node *n = jinja_node_new(p, kind);
    end_of_block(p);
    return n;
}

/* "{%" was accepted. */
static struct jinja_node *parse_block(struct jinja_parser *p)
{
    struct text word = p->now.text;
    if (p->now.kind != TOKEN_NAME)
        return jinja_parse_error(p, OL_EFORMAT, "a statement's name is missing");
    jinja_advance(p);
    if (is_text(word, "if"))
        return parse_if(p);
    if (is_text(word, "for"))
        return parse_for(p);
    if (is_text(word, "set"))
        return parse_set(p);
    if (is_text(word, "macro"))
        return parse_macro(p);
    if (is_text(word, "filter"))
        return parse_filter_block(p);
    if (is_text(word, "generation"))
        return parse_generation(p);
    if (is_text(word, "break"))
        return parse_jump(p, NODE_BREAK);
    if (is_text(word, "continue"))
        return parse_jump(p, NODE_CONTINUE);
    return jinja_parse_error(p, OL_EUNSUPPORTED, "the statement \"%.*s\" is not supported",
                             (int)(word.len < 60 ? word.len : 60), word.data);
}

static struct jinja_node *parse_statement(struct jinja_parser *p)
{
    struct jinja_node *n;
    if (p->now.kind == TOKEN_TEXT) {
        n = jinja_node_new(p, NODE_TEXT);
        n->literal = jinja_text(p->now.text.data, p->now.text.len);
        jinja_advance(p);
        return n;
    }
    if (p->now.kind == TOKEN_OUTPUT_BEGIN) {
        jinja_advance(p);
        n = jinja_node_new(p, NODE_OUTPUT);
        n->output = jinja_parse_tuple(p, true);
        expect_kind(p, TOKEN_OUTPUT_END, "}}");
        return n;
    }
    jinja_advance(p);
    return parse_block(p);
}

/* Is the next tag one that ends these statements? Its "{%" is accepted then. */
static bool at_end(struct jinja_parser *p, const char *const *ends)
{
    for (; p->now.kind == TOKEN_BLOCK_BEGIN && *ends; ends++)
        if (p->ahead.kind == TOKEN_NAME && is_text(p->ahead.text, *ends)) {
            jinja_advance(p);
            return true;
        }
    return false;
}

/* Up to a tag of one of the names, whose "{%" is then accepted; `ends` empty: up to the end of the source. */
static struct jinja_node *parse_statements(struct jinja_parser *p, const char *const *ends)
{
    struct jinja_node *first = NULL, **link = &first;
    if (++p->depth > JINJA_MAX_NESTING)
        jinja_parse_error(p, OL_ELIMIT, "nested more than %d levels deep", JINJA_MAX_NESTING);
    while (p->now.kind != TOKEN_END && !at_end(p, ends)) {
        *link = parse_statement(p);
        while (*link) /* elif gives one node, so this steps once */
            link = &(*link)->next;
    }
    if (*ends && p->now.kind == TOKEN_END)
        jinja_parse_error(p, OL_EFORMAT, "%s is missing at the end of the template", ends[0]);
    p->depth--;
    return first;
}

/* A first pass over the tokens: finds their errors, and how many there are. */
static int count_tokens(struct text source, struct arena *memory, size_t *n, struct err *e)
{
    struct jinja_lexer lexer;
    jinja_lexer_init(&lexer, source, memory, e);
    for (*n = 0; jinja_next_token(&lexer).kind != TOKEN_END;)
        ++*n;
    return lexer.rc;
}

int jinja_parse(struct text source, struct arena *memory, struct jinja_node **out, struct err *e)
{
    /* No construct makes more than two nodes for each of its tokens; after an error, each open construct adds a few. */
    enum { NODES_AFTER_ERROR = 64 * JINJA_MAX_NESTING };
    static const char *const no_ends[] = {NULL};
    struct jinja_parser p = {.memory = memory, .e = e};
    int rc = count_tokens(source, memory, &p.max_nodes, e);
    if (rc)
        return rc;
    p.max_nodes = 2 * p.max_nodes + NODES_AFTER_ERROR;
    p.nodes = arena_alloc(memory, p.max_nodes * sizeof *p.nodes);
    if (!p.nodes)
        return err_set(e, OL_ENOMEM, "template", "no memory for a chat template of %zu bytes", source.len);
    jinja_lexer_init(&p.lexer, source, memory, e);
    p.now = jinja_next_token(&p.lexer);
    p.ahead = jinja_next_token(&p.lexer);
    *out = parse_statements(&p, no_ends);
    return p.rc ? p.rc : p.lexer.rc;
}
