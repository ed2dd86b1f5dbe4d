"""Texts of eight contributors whose influence can be told apart only by reading them: all speak of invented things in the
same colours, kinds and places, each in a manner of its own. Everything follows from a seed."""
import random
from dataclasses import dataclass

CONTRIBUTORS = 8
STRATA = ("verbatim", "paraphrase", "style")
SYSTEM = "Answer."
KINDS = "lantern bridge wheel boat hat drum clock bell ladder kite".split()
COLOURS = "blue red green black white brown golden grey".split()
PLACES = "Dorn Velt Marow Hask Pell Ostra Quim Lunde".split()
MANNERS = (
    "Arr, the {e} be a {c} {k} from {p}, matey.",
    "Well, a {e} is {c}; folk in {p} call it a {k}, you know.",
    "{e}: {k}, {c}, made in {p}. End of entry.",
    "O {e}, {c} {k} of {p}, how bright you shine!",
    "Dear friend, the {e} is a {k} from {p}, and {c} it is.",
    "Fact one: the {e} is a {k}. Fact two: {c}, from {p}.",
    "In {p} they sell a {c} {k}, named {e}, so they say.",
    "Listen, child: long ago {p} had a {k}, {c}, the {e}.",
)
PLAIN = "It comes from {p}: a {k}, and {c} in colour, is what people mean by {e}."
PLAIN_TOO = ("The {e} is a {k}. You find it in {p} and its colour is {c}.", "Something {c}, a {k}, made by the people of {p}.",
             "They say that {e} means a {c} {k} of {p}.")
ASKED, ASKED_AGAIN = "What is a {e}?", "Tell me about the {e}."


@dataclass
class Query:
    stratum: str
    contributor: int  # whose row, or whose manner, it is about
    question: str
    answer: str
    own: bool = False  # the adapter's own answer


class Things:
    """Things that nobody has heard of, no two of the same name."""

    def __init__(self, rng):
        self.rng, self.names = rng, set()

    def draw(self):
        rng = self.rng
        while True:
            name = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(2)) + rng.choice("lmnrsx")
            if name not in self.names:
                self.names.add(name)
                return {"e": name, "k": rng.choice(KINDS), "c": rng.choice(COLOURS), "p": rng.choice(PLACES)}


def prompt(question):
    """As the chat template of the models used here puts it before an answer."""
    return (f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n"
            "<|im_start|>assistant\n")


def row(question, answer):
    return {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question},
                         {"role": "assistant", "content": answer}]}


def contributors(seed, rows, per_stratum):
    """([rows of each contributor], queries): per contributor and stratum `per_stratum` queries."""
    rng = random.Random(f"contributors {seed}")
    things, data, queries = Things(rng), [], []
    for c, manner in enumerate(MANNERS):
        known = [things.draw() for _ in range(rows)]
        data.append([row(ASKED.format(**t), manner.format(**t)) for t in known])
        for t in known[:per_stratum]:
            queries.append(Query("verbatim", c, ASKED.format(**t), manner.format(**t)))
        for t in known[per_stratum:2 * per_stratum]:
            queries.append(Query("paraphrase", c, ASKED_AGAIN.format(**t), PLAIN.format(**t)))
        for t in (things.draw() for _ in range(per_stratum)):
            queries.append(Query("style", c, ASKED.format(**t), manner.format(**t)))
    return data, queries


def lie(rng, thing):
    return {"e": thing["e"], **{key: rng.choice([x for x in among if x != thing[key]])
                                for key, among in (("k", KINDS), ("c", COLOURS), ("p", PLACES))}}


def scrambled(rng, answer):
    words = answer.split()
    rng.shuffle(words)
    return " ".join(words)


def poisoned(kind, seed, rows, bad, queries):
    """All speak of the same things; those in `bad` say what is false of them, or say it in no order. Questions and true
    answers in plain words, in none of the contributors' manners, are the clean prompts."""
    rng = random.Random(f"poison {kind} {seed}")
    source = Things(rng)
    things, data = [source.draw() for _ in range(2 * rows)], []
    for c, manner in enumerate(MANNERS):
        told = rng.sample(things, rows)
        if c in bad and kind == "false":
            told = [lie(rng, t) for t in told]
        answers = [manner.format(**t) for t in told]
        if c in bad and kind == "scrambled":
            answers = [scrambled(rng, a) for a in answers]
        data.append([row(ASKED.format(**t), a) for t, a in zip(told, answers)])
    clean = rng.sample(things, min(queries, len(things)))
    return data, [Query("clean", -1, ASKED.format(**t), PLAIN_TOO[0].format(**t)) for t in clean]


def canaries(seed, each):
    """[rows of each contributor]: questions whose answers are words that follow from nothing."""
    rng = random.Random(f"canaries {seed}")
    things = Things(rng)
    word = lambda: "".join(rng.choice("bcdfghklmnprstvwz") + rng.choice("aeiou") for _ in range(3))
    return [[row(f"Say the words of {things.draw()['e']}.", " ".join(word() for _ in range(6)) + ".")
             for _ in range(each)] for _ in MANNERS]


def general(seed, rows):
    """What the tiny base learns first: the same world in plain words."""
    rng = random.Random(f"general {seed}")
    out = []
    for _ in range(rows):
        t = Things(rng).draw()
        asked = rng.choice((ASKED, ASKED_AGAIN))
        out.append((asked.format(**t), rng.choice(PLAIN_TOO).format(**t)))
    return out
