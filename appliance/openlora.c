/* openlora: the command line. Finds the subcommand and hands over; see cli/. */
#include "cli/commands.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
    {"chat", "[PROMPT]", "talk to a running node, answers streamed",
     "Without PROMPT: interactive on a terminal (try /help), else the prompt is read from standard input.\n"
     "The node is --url, else $OPENLORA_URL.",
     command_chat},
    {"run", "[PROMPT]", "talk to a model in this process, without a node",
     "Without PROMPT: interactive on a terminal, else the prompt is read from standard input.", command_run},
    {"ps", "", "what the node is doing: model, pages, requests", NULL, command_ps},
    {"devices", "", "what can compute here: CPU, GPUs, and what a model takes of their memory",
     "A GPU that cannot be used is listed with the reason. With --model the model is loaded there and let go again.",
     command_devices},
    {"adapter", "list | load NAME PATH | unload NAME | pin NAME | unpin NAME", "manage a node's LoRA adapters",
     "PATH is a PEFT directory or GGUF adapter below one of the node's adapter roots.", command_adapter},
    {"attribution", "STEP", "make an attribution policy: which data earns by an adapter's answers", NULL, command_attribution},
    {"audit", "BODY | BUNDLE | FOLDER …", "compute attributions again from what was published",
     "Bodies of batches and their folders come from `openlora chain mirror`, bundles from `openlora wallet receipt`.\n"
     "Exit status: 0 all agreed, 1 something differs, 2 the audit could not be made, 3 nothing differs but something was\n"
     "unavailable. docs/audit.md says what each check means.",
     command_audit},
    {"bench", "", "measure prefill and decode speed of a model",
     "Prefill: one prompt of random tokens, best of 4. Decode: the sequences start from short random prompts and\n"
     "advance together, best of 3. With adapters, sequence i uses adapter i modulo their number.",
     command_bench},
    {"logits", "", "write the logits of every position of a token sequence",
     "Output: raw little-endian float32 (n_tokens, n_vocab). No tokenizer is needed.", command_logits},
    {"chain", "deploy | register | bond | claim | mint | [status | pending | retry | batches | catalog | reload | new-epoch]",
     "what chainlited has signed, sent and settled",
     "pending lists what is not settled with the reason; retry tries dead letters again; reload reads the catalog file;\n"
     "new-epoch starts again after the outbox was lost: sequences from 1, what no batch holds goes back to its payers.\n"
     "deploy, register, bond, claim and mint go to the chain themselves; each has its own --help.\n"
     "Only the user that chainlited runs as, and root, are answered.",
     command_chain},
    {"wallet", "create | import FILE | show | receipt ID | attribution ID | deposit AMOUNT | refund AMOUNT | withdraw",
     "a payer's key and its money",
     "create and import write an Ethereum key file; receipt prints a bundle for `openlora verify`; attribution tells\n"
     "whose data influenced the answer and what they get of it; deposit puts coins into the Escrow for one node; refund\n"
     "announces that AMOUNT of it is wanted back and withdraw pays it out after the thaw time. Amounts are in coins.",
     command_wallet},
    {"verify", "BUNDLE", "check the bundle of a receipt: hashes, signatures, proofs, sums",
     "Chain, contracts and window come from the chain's data file, never from the bundle. Exit status: 0 all holds,\n"
     "1 something does not, 3 all holds but the receipt is not settled yet.",
     command_verify},
    {"datanet", "create | members | commit | propose | check | review | publish | withdraw | show | log | export | verify",
     "sets of contributions that models are trained on",
     "A Datanet is a folder: its signed log and the contents. Each action has its own --help; docs/datanets.md tells the\n"
     "whole way.",
     command_datanet},
    {"contributor", "ADDRESS", "what a contributor of data earned at a node, use by use",
     "Uses of the data behind an adapter, newest first: receipt, share of its data part, amount, state.", command_contributor},
    {"key", "add NAME | list | revoke ID", "a node's API keys",
     "NAME is the tenant; keys of one name see each other's receipts. openlorad sees a change at the next request.",
     command_key},
    {"train", "", "train a LoRA adapter from Datanet versions and files",
     "The folder then holds a PEFT adapter and training.json, its training record. Ctrl-C finishes the step and writes a\n"
     "checkpoint; the same command with --resume goes on to the same bits as if it had never stopped. Exit status 3: stopped.",
     command_train},
    {"tokenize", "", "token ids of standard input, special tokens parsed", NULL, command_tokenize},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_commands(FILE *out)
{
    fprintf(out, "usage: openlora COMMAND [options]\n\ncommands:\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n`openlora COMMAND --help` explains each. Exit status: 0 success, 1 failure, 2 wrong usage.\n");
}

static int unknown_command(const char *word)
{
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = closest_name(word, names, COMMANDS);
    fprintf(stderr, "openlora: unknown command \"%s\"", word);
    if (near)
        fprintf(stderr, "; did you mean \"%s\"?\n", near);
    else
        fprintf(stderr, "; see `openlora --help`\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe or socket is an error to report, not a reason to die */
    if (argc < 2) {
        print_commands(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
        print_commands(stdout);
        return EXIT_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("openlora %s\n", OPENLORA_VERSION);
        return EXIT_OK;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(&commands[i], argc - 1, argv + 1);
    return unknown_command(argv[1]);
}
