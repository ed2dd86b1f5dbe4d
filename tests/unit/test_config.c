/* Configuration: sources and their order, and that nothing unknown or malformed passes in silence. */
#include "api/config_table.h"
#include "model_files.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 16 };

static int load(const char *const *words, const char *const *variables, struct config *c, struct err *e)
{
    char *argv[MAX_WORDS + 2] = {(char *)(uintptr_t)"openlorad"}, *environment[MAX_WORDS + 1] = {NULL};
    int argc = 1;
    for (int i = 0; words && words[i]; i++)
        argv[argc++] = (char *)(uintptr_t)words[i];
    for (int i = 0; variables && variables[i]; i++)
        environment[i] = (char *)(uintptr_t)variables[i];
    *e = (struct err){0};
    return config_load(argc, argv, environment, c, e);
}

#define WORDS(...) ((const char *[]){__VA_ARGS__, NULL})

START_TEST(test_defaults)
{
    struct config c;
    struct err e;
    ck_assert_int_eq(load(WORDS("--model", "m.gguf"), NULL, &c, &e), 0);
    ck_assert_int_eq(c.port, 8080);
    ck_assert_int_eq(c.max_body_mb, 8);
    ck_assert_str_eq(c.model, "m.gguf");
    ck_assert(c.prefix_cache && c.lora && !c.port_file && c.adapters.n == 0);
    config_deinit(&c);
    ck_assert_int_ne(load(NULL, NULL, &c, &e), 0); /* no model */
    ck_assert_ptr_nonnull(strstr(e.message, "--model"));
    config_deinit(&c);
}
END_TEST

START_TEST(test_flags)
{
    struct config c;
    struct err e;
    ck_assert_int_eq(
        load(WORDS("--model=m", "--port", "0", "--no-prefix-cache", "--adapter", "a=/x/y", "--adapter=b=/z=1",
                   "--adapter-root", "/r", "--adapter-root", "/s", "--max-seqs=3", "--check-config"),
             NULL, &c, &e),
        0);
    ck_assert(c.port == 0 && !c.prefix_cache && c.max_seqs == 3 && c.check);
    ck_assert(c.adapters.n == 2 && c.adapter_roots.n == 2);
    ck_assert_str_eq(c.adapters.items[0].name, "a");
    ck_assert_str_eq(c.adapters.items[0].value, "/x/y");
    ck_assert_str_eq(c.adapters.items[1].value, "/z=1");
    ck_assert_str_eq(c.adapter_roots.items[1], "/s");
    config_deinit(&c);
}
END_TEST

START_TEST(test_later_sources_win)
{
    struct config c;
    struct err e;
    char *folder = scratch_make(), *path = scratch_path(folder, "o.ini");
    static const char ini[] = "; a comment\n[server]\nport = 1111\ntimeout_s = 5\nhost = a.example\nhost = b.example\n"
                              "[model]\npath = from-file\nmax_seqs = 7\n[adapters]\npirate = /p\n";
    scratch_write(folder, "o.ini", ini, sizeof ini - 1);
    ck_assert_int_eq(load(WORDS("--config", path, "--max-seqs", "9"),
                          WORDS("OPENLORA_PORT=2222", "OPENLORA_MAX_SEQS=8", "OTHER=1"), &c, &e),
                     0);
    ck_assert_int_eq(c.port, 2222);
    ck_assert_int_eq(c.max_seqs, 9);
    ck_assert_int_eq(c.timeout_s, 5);
    ck_assert_str_eq(c.model, "from-file");
    ck_assert_int_eq(c.hosts.n, 2);
    ck_assert_str_eq(c.adapters.items[0].name, "pirate");
    config_deinit(&c);
    scratch_remove(folder, (const char *[]){"o.ini"}, 1);
    free(path);
}
END_TEST

static void bad_file(const char *text, const char *names)
{
    struct config c;
    struct err e;
    char *folder = scratch_make(), *path = scratch_path(folder, "o.ini");
    scratch_write(folder, "o.ini", text, strlen(text));
    ck_assert_msg(load(WORDS("--model", "m", "--config", path), NULL, &c, &e) != 0, "accepted: %.60s", text);
    ck_assert_msg(strstr(e.message, names) != NULL, "'%s' lacks '%s'", e.message, names);
    config_deinit(&c);
    scratch_remove(folder, (const char *[]){"o.ini"}, 1);
    free(path);
}

START_TEST(test_bad_files_name_the_line)
{
    bad_file("[server]\nport = 1\nprt = 2\n", "o.ini:3: unknown setting 'prt'");
    bad_file("[srver]\nport = 1\n", "o.ini:2: unknown setting 'port' in [srver]");
    bad_file("port = 1\n", "o.ini:1");
    bad_file("[server]\n\nport = many\n", "o.ini:3: port");
    bad_file("[server]\nport = 70000\n", "o.ini:2: port");
    bad_file("[model]\nprefix_cache = maybe\n", "o.ini:2: prefix_cache");
    bad_file("[server]\nthis is nothing\n", "o.ini:2");
    bad_file("[server\nport = 1\n", "o.ini:1");
    char line[6000] = "[model]\npath = ";
    memset(line + strlen(line), 'x', 5000);
    bad_file(line, "o.ini:2: the line is longer");
}
END_TEST

START_TEST(test_bad_words)
{
    static const char *const bad[][3] = {
        {"--prot", "1", "--prot"},
        {"--port", "x", "--port"},
        {"--port", NULL, "--port wants"},
        {"word", NULL, "word"},
        {"--adapter", "nopath", "NAME=PATH"},
        {"--config", "/nowhere/o.ini", "/nowhere/o.ini"},
        {"--max-seqs", "-1", "--max-seqs"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config c;
        struct err e;
        ck_assert_int_ne(load(WORDS("--model", "m", bad[i][0], bad[i][1]), NULL, &c, &e), 0);
        ck_assert_msg(strstr(e.message, bad[i][2]) != NULL, "%s", e.message);
        config_deinit(&c);
    }
    struct config c;
    struct err e;
    ck_assert_int_ne(load(WORDS("--model", "m"), WORDS("OPENLORA_PORT=x"), &c, &e), 0);
    ck_assert_ptr_nonnull(strstr(e.message, "OPENLORA_PORT"));
    config_deinit(&c);
    ck_assert_int_ne(load(WORDS("--model", "m", "--no-lora", "--adapter", "a=b"), NULL, &c, &e), 0);
    config_deinit(&c);
}
END_TEST

/* What --check-config prints is a file that gives the same configuration. */
START_TEST(test_print_round_trip)
{
    struct config c, again;
    struct err e;
    char *folder = scratch_make(), *path = scratch_path(folder, "o.ini"), *first = NULL, *second = NULL;
    size_t n_first, n_second;
    ck_assert_int_eq(
        load(WORDS("--model", "m", "--adapter", "a=/x", "--no-prefix-cache", "--host", "h.example"), NULL, &c, &e), 0);
    FILE *f = open_memstream(&first, &n_first);
    config_print(&c, f);
    fclose(f);
    scratch_write(folder, "o.ini", first, n_first);
    ck_assert_msg(load(WORDS("--config", path), NULL, &again, &e) == 0, "%s", e.message);
    f = open_memstream(&second, &n_second);
    config_print(&again, f);
    fclose(f);
    ck_assert_str_eq(first, second);
    config_deinit(&c);
    config_deinit(&again);
    free(first);
    free(second);
    scratch_remove(folder, (const char *[]){"o.ini"}, 1);
    free(path);
}
END_TEST

/* The example file is the defaults, and names every setting. */
START_TEST(test_example_file)
{
    static const char example[] = "appliance/openlorad.ini.example"; /* tests run in the source folder */
    struct config c, plain;
    struct err e;
    char *printed[2];
    size_t sizes[2];
    ck_assert_msg(load(WORDS("--config", example, "--model", "m"), NULL, &c, &e) == 0, "%s", e.message);
    ck_assert_int_eq(load(WORDS("--model", "m"), NULL, &plain, &e), 0);
    for (int i = 0; i < 2; i++) {
        FILE *f = open_memstream(&printed[i], &sizes[i]);
        config_print(i ? &plain : &c, f);
        fclose(f);
    }
    ck_assert_str_eq(printed[0], printed[1]);
    FILE *f = fopen(example, "r");
    char text[8192];
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    for (int i = 0; i < n_settings; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s = ", settings[i].key ? settings[i].key : "pirate");
        ck_assert_msg(strstr(text, line) != NULL, "%s is not in %s", line, example);
        free(i < 2 ? printed[i] : NULL);
    }
    config_deinit(&c);
    config_deinit(&plain);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config");
    TCase *t = tcase_create("config");
    tcase_add_test(t, test_defaults);
    tcase_add_test(t, test_flags);
    tcase_add_test(t, test_later_sources_win);
    tcase_add_test(t, test_bad_files_name_the_line);
    tcase_add_test(t, test_bad_words);
    tcase_add_test(t, test_print_round_trip);
    tcase_add_test(t, test_example_file);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
