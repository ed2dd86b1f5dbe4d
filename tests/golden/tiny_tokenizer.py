"""A byte-level BPE tokenizer of 512 tokens, as a tokenizer.json and as the metadata of a GGUF file."""
import functools
import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 512
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
                 "'<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
                 "{% endif %}")

TEXT = """
A river does not ask where the sea is. It follows the ground, turns when a stone turns it, and gathers what other
streams bring. In spring it is loud and brown with snow water; in late summer it is thin and clear, and children walk
across it without wetting their knees. The people of the valley measured their years by it: the flood of the mill, the
summer of the dry bridge, the winter when the ice carried a horse and a cart.
When the engineers came they had numbers for everything. They counted litres and metres, wrote the height of the water
on a board each morning at seven, and drew a line that rose and fell over the pages of a book. After 12 years they knew
what every grandmother had known, and they also knew how much. Both kinds of knowing have their use: one tells you when
to move the sheep, the other how thick to build the wall.
def area(width, height): return width * height  # square metres
for i in range(10): print(i, "times", i, "is", i * i)
The quick brown fox jumps over the lazy dog; the five boxing wizards jump quickly. Why not? "Because," she said, "I'd
rather stay, and you've seen the others: they'll be back, we're certain, as it's getting late."
Numbers: 0 1 2 3 4 5 6 7 8 9 10 100 1000 3.14159. Prices: $5, 20 %, (see note 7) [a] {b} <c>.
Größe, café, naïve, señor, žlutý kůň, привет мир, καλημέρα, 你好世界, こんにちは, 안녕하세요, مرحبا, 🙂 🚀.
"""


@functools.cache
def tokenizer():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    assert t.get_vocab_size() == VOCAB
    return t


def write_tokenizer(directory):
    tokenizer().save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[0], "eos_token": SPECIAL[2],
        "add_bos_token": False, "clean_up_tokenization_spaces": False, "model_max_length": 2048,
        "chat_template": CHAT_TEMPLATE}, indent=1) + "\n")


def add_to_gguf(writer):
    model = json.loads(tokenizer().to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t in SPECIAL else 1 for t in tokens])  # 3: control, 1: normal
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
