/* openlora attribution: makes a policy's folder, step by step (docs/attribution.md §7). */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

static const struct command steps[] = {
    {"attribution index", "", "which words are whose: the documents of Datanets, sorted",
     "Writes spans.index, surprisal.bin and sources.json into the folder. The same Datanets and model give the same bytes.",
     command_attribution_index},
};
enum { STEPS = sizeof steps / sizeof *steps };

static int print_steps(FILE *to)
{
    fprintf(to, "usage: openlora attribution STEP [options]\n\nsteps:\n");
    for (int i = 0; i < STEPS; i++)
        fprintf(to, "  %-10s %s\n", steps[i].name + sizeof "attribution", steps[i].summary);
    fprintf(to, "\n`openlora attribution STEP --help` explains each.\n");
    return to == stdout ? EXIT_OK : EXIT_USAGE;
}

int command_attribution(const struct command *command, int argc, char **argv)
{
    const char *names[STEPS];
    if (argc < 2)
        return print_steps(stderr);
    if (strcmp(argv[1], "--help") == 0)
        return print_steps(stdout);
    for (int i = 0; i < STEPS; i++) {
        names[i] = steps[i].name + sizeof "attribution";
        if (strcmp(argv[1], names[i]) == 0)
            return steps[i].run(&steps[i], argc - 1, argv + 1);
    }
    const char *near = closest_name(argv[1], names, STEPS);
    return fail(command, EXIT_USAGE, "unknown step \"%s\"%s%s%s", argv[1], near ? "; did you mean \"" : "; see --help",
                near ? near : "", near ? "\"?" : "");
}
