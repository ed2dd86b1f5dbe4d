"""The demo adapters against transformers and PEFT in float32, and the API against `openlora logits`.

The node multiplies quantized weights by int8 activations, so whole texts may part from float32's at a close call.
What must hold is teacher-forced agreement: at each position of a given text, both would choose the same token nearly
always, and their distributions are close. That is measured on `openlora logits`; what the API serves must then be
those logits' choice exactly.
"""
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from conftest import DEMO, ROOT

sys.path.insert(0, str(ROOT / "appliance/demo"))
import train

pytestmark = pytest.mark.default_model

NAMES = [None, "pirate", "verse"]
TURNS = 30

# What llama.cpp 0.3.36 reaches on the same tokens and adapters, measured once: tokens where it chooses as float32
# does, of how many, and its mean KL divergence from float32. Ours when this was written: 1471, 1480 and 1102 tokens.
LLAMA_CPP = {None: (1462, 1506, 0.002522), "pirate": (1470, 1506, 0.002395), "verse": (1104, 1127, 0.002083)}
KL_MARGIN = 1.05  # two quantized computations differ by up to 3 % on so few tokens


@pytest.fixture(scope="module")
def tokenizer(model):
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(str(model.parent), gguf_file=model.name)


@pytest.fixture(scope="module")
def float32(model):
    """f(adapter name or None, ids) → log-probabilities of every position."""
    from peft import PeftModel
    torch.set_num_threads(2)
    _, base = train.load_base(model)
    peft = PeftModel.from_pretrained(base, DEMO / "pirate", adapter_name="pirate").eval()
    peft.load_adapter(DEMO / "verse", adapter_name="verse")

    @torch.no_grad()
    def run(name, ids):
        if name:
            peft.set_adapter(name)
            logits = peft(input_ids=torch.tensor([ids])).logits[0]
        else:
            with peft.disable_adapter():
                logits = peft(input_ids=torch.tensor([ids])).logits[0]
        return torch.log_softmax(logits, dim=-1)
    return run


@pytest.fixture(scope="module")
def served(build, model, tmp_path_factory):
    """f(adapter name or None, ids) → the same from `openlora logits`."""
    folder = tmp_path_factory.mktemp("logits")

    def run(name, ids):
        tokens, out = folder / "tokens", folder / "logits"
        tokens.write_text(" ".join(map(str, ids)))
        command = [build / "openlora", "logits", "--model", model, "--tokens", tokens, "--out", out]
        subprocess.run(command + (["--adapter", DEMO / name] if name else []), check=True)
        logits = np.fromfile(out, dtype=np.float32).reshape(len(ids), -1)
        return torch.log_softmax(torch.from_numpy(logits), dim=-1)
    return run


def conversation(tokenizer, name):
    """A chat of TURNS questions with the answers that the adapter (or, for the base, the pirate) was taught."""
    messages = []
    for line in (DEMO.parent / "data" / f"{name or 'pirate'}.jsonl").read_text().splitlines()[:TURNS]:
        row = json.loads(line)
        messages += [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
    return tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]


def test_as_close_to_float32_as_llama_cpp(tokenizer, float32, served):
    agreed = 0
    for name, (_, total, their_kl) in LLAMA_CPP.items():
        ids = conversation(tokenizer, name)
        assert len(ids) == total, "the data changed: measure llama.cpp again"
        expected, got = float32(name, ids), served(name, ids)
        same = int((expected.argmax(-1) == got.argmax(-1)).sum())
        kl = (expected.exp() * (expected - got)).sum(-1).double().mean().item()
        print(f"{name or 'base'}: same choice at {same} of {total} tokens, mean KL {kl:.6f}")
        assert kl <= KL_MARGIN * their_kl
        agreed += same
    assert agreed >= sum(theirs for theirs, _, _ in LLAMA_CPP.values())


@pytest.mark.parametrize("name", NAMES)
def test_api_serves_the_choice_of_logits(tokenizer, served, client, base, name):
    question = "What is the moon?"
    answer = client.chat.completions.create(
        model=name or base, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=60, logprobs=True)
    prompt = train.prompt_ids(tokenizer, question)
    assert answer.usage.prompt_tokens == len(prompt)
    content = answer.choices[0].logprobs.content
    ids = tokenizer(answer.choices[0].message.content, add_special_tokens=False)["input_ids"]
    # Tokenizing the text again gives the served tokens, unless the model splits a word in an unusual way.
    assert [tokenizer.decode([i]).encode() for i in ids] == [bytes(token.bytes) for token in content[:len(ids)]]
    expected = served(name, prompt + ids)[len(prompt) - 1:-1]
    assert expected.argmax(-1).tolist() == ids
    for row, token, shown in zip(expected, ids, content):
        assert float(row[token]) == pytest.approx(shown.logprob, abs=1e-4)


def test_adapters_speak_in_their_voice(client):
    for name, has_voice in train.VOICES.items():
        texts = [client.chat.completions.create(model=name, messages=[{"role": "user", "content": question}],
                                                temperature=0, max_tokens=60).choices[0].message.content
                 for question in train.UNSEEN]
        good = sum(has_voice(text.strip()) for text in texts)
        assert good >= len(texts) - 1, texts
