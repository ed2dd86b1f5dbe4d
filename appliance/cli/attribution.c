/* openlora attribution: makes a policy's folder, step by step (docs/attribution.md §7). */
#include "cli/attribution.h"
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

static const struct command steps[] = {
    {"attribution index", "", "which words are whose: the documents of Datanets, sorted",
     "Writes spans.index, surprisal.bin and sources.json into the folder. The same Datanets and model give the same "
     "bytes.",
     command_attribution_index},
    {"attribution vectors", "", "what each contributor's rows would change in an adapter",
     "Gradients of all rows with the adapter as it is served, sketched; one damped solve per layer. Takes about as "
     "long\n"
     "as an epoch of training.",
     command_attribution_vectors},
    {"attribution calibrate", "", "from what on spans and gradients are paid, and how often for nothing",
     "Needs the index and, for gradients, the vectors. Null answers are the base model's to prompts outside the data.",
     command_attribution_calibrate},
    {"attribution policy", "", "pin the folder's files for an adapter version, and register that",
     "Repeating it is harmless: an unchanged folder keeps its row.", command_attribution_policy},
    {"attribution show", "DIR", "check a policy's folder and say what it holds", NULL, command_attribution_show},
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
