"""Tokenizers of every supported kind, trained on a little text: each as tokenizer.json and as a GGUF file that holds
nothing but the tokenizer, with the `tokenizers` object that says what is right."""
import json

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

from tiny_tokenizer import TEXT

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def split_then_bytes(pattern):
    return pre.Sequence([pre.Split(Regex(pattern), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)])


SMOLLM = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])

# name: (pre-tokenizer, its name in GGUF files, ignore_merges, NFC, BOS is added)
KINDS = {
    "gpt2": (pre.ByteLevel(add_prefix_space=False), "gpt-2", False, False, False),
    "llama3": (split_then_bytes(LLAMA3), "llama-bpe", True, False, True),
    "qwen2": (split_then_bytes(QWEN2), "qwen2", False, True, False),
    "smollm": (SMOLLM, "smollm", False, False, False),
    "tekken": (split_then_bytes(TEKKEN), "tekken", True, False, True),
}
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im|>", "<s>"]
PLAIN_ADDED = ["<tool>", "<th", "  \t", "<think>", "é🙂"]


def make(name):
    splitter, _, ignore_merges, nfc, bos = KINDS[name]
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    t.pre_tokenizer = splitter
    t.decoder = decoders.ByteLevel()
    if nfc:
        t.normalizer = normalizers.NFC()
    t.train_from_iterator([TEXT, TEXT.upper()], trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False))
    t.add_special_tokens([AddedToken(s, normalized=False) for s in CONTROL])
    t.add_tokens([AddedToken(s, normalized=False, special=False) for s in PLAIN_ADDED])
    first = t.token_to_id(CONTROL[0])
    template = processors.TemplateProcessing(single=f"{CONTROL[0]} $A" if bos else "$A", pair="$A $B",
                                             special_tokens=[(CONTROL[0], first)] if bos else [])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return t


def write_directory(t, directory, pairs=True):
    """pairs: merges as ["a", "b"], as new files have them; otherwise "a b"."""
    directory.mkdir()
    data = json.loads(t.to_str())
    merges = data["model"]["merges"]
    assert all(isinstance(merge, list) for merge in merges)
    if not pairs:
        data["model"]["merges"] = [" ".join(merge) for merge in merges]
    (directory / "tokenizer.json").write_text(json.dumps(data))
    (directory / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": {"content": CONTROL[0]}, "eos_token": CONTROL[2], "chat_template": "{{ bos_token }}"}))
    (directory / "generation_config.json").write_text(json.dumps(
        {"eos_token_id": [t.token_to_id(CONTROL[2]), t.token_to_id(CONTROL[4])]}))


def write_gguf(t, name, path):
    model = json.loads(t.to_str())["model"]
    size = t.get_vocab_size(with_added_tokens=True)
    tokens = [t.id_to_token(i) for i in range(size)]
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(KINDS[name][1])
    w.add_token_list(tokens)
    w.add_token_types([3 if token in CONTROL else 4 if token in PLAIN_ADDED else 1 for token in tokens])
    w.add_token_merges([" ".join(merge) for merge in model["merges"]])
    w.add_bos_token_id(t.token_to_id(CONTROL[0]))
    w.add_eos_token_id(t.token_to_id(CONTROL[2]))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def twin_of_gguf(path):
    """The tokenizer that a SmolLM GGUF file describes."""
    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    assert get("pre") == "smollm" and get("model") == "gpt2"
    tokens, merges = get("tokens"), [tuple(merge.split(" ")) for merge in get("merges")]
    t = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges,
                             unk_token=tokens[get("unknown_token_id")]))
    t.pre_tokenizer = SMOLLM
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(token, normalized=False) for token, kind in zip(tokens, get("token_type")) if kind == 3])
    return t
