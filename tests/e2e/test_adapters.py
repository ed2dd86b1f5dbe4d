"""The demo adapters through the API against transformers and PEFT in float32.

The node multiplies quantized weights by int8 activations, so whole texts may part from float32's at a close call.
What must hold is teacher-forced agreement: at each position of the text that the node wrote, float32 given the same
beginning would have chosen the same token, nearly always.
"""
import sys

import pytest
import torch

from conftest import DEMO, ROOT

sys.path.insert(0, str(ROOT / "appliance/demo"))
import train

pytestmark = pytest.mark.default_model

MIN_AGREEMENT = 0.95
MAX_MEAN_LOGPROB_ERROR = 0.08
ANSWER_TOKENS = 48


@pytest.fixture(scope="module")
def reference(model):
    from peft import PeftModel
    torch.set_num_threads(2)
    tokenizer, base = train.load_base(model)
    peft = PeftModel.from_pretrained(base, DEMO / "pirate", adapter_name="pirate").eval()
    peft.load_adapter(DEMO / "verse", adapter_name="verse")
    return tokenizer, peft


def float32_logprobs(peft, name, tokens):
    with torch.no_grad():
        if name is None:
            with peft.disable_adapter():
                logits = peft(input_ids=torch.tensor([tokens])).logits[0]
        else:
            peft.set_adapter(name)
            logits = peft(input_ids=torch.tensor([tokens])).logits[0]
    return torch.log_softmax(logits, dim=-1)


def answer_tokens(tokenizer, choice):
    """Ids of the answer. The text is tokenized again, which gives the same ids unless the model wrote a word in an
    unusual split; such an answer is left out (None)."""
    ids = tokenizer(choice.message.content, add_special_tokens=False)["input_ids"]
    served = [bytes(token.bytes) for token in choice.logprobs.content]
    same = [tokenizer.decode([i]).encode() for i in ids] == served[:len(ids)]
    return ids if same else None


@pytest.mark.parametrize("name", [None, "pirate", "verse"])
def test_agreement_with_float32(reference, client, base, name):
    tokenizer, peft = reference
    agreed = total = 0
    error = 0.0
    for question in train.UNSEEN:
        answer = client.chat.completions.create(
            model=name or base, messages=[{"role": "user", "content": question}], temperature=0,
            max_tokens=ANSWER_TOKENS, logprobs=True)
        prompt = train.prompt_ids(tokenizer, question)
        assert answer.usage.prompt_tokens == len(prompt)
        ids = answer_tokens(tokenizer, answer.choices[0])
        if ids is None:
            continue
        expected = float32_logprobs(peft, name, prompt + ids)[len(prompt) - 1:-1]
        agreed += sum(int(row.argmax()) == token for row, token in zip(expected, ids))
        total += len(ids)
        error += sum(abs(float(row[token]) - served.logprob)
                     for row, token, served in zip(expected, ids, answer.choices[0].logprobs.content))
    print(f"{name or 'base'}: {agreed} of {total} tokens agree, mean logprob error {error / total:.4f}")
    assert total > 100
    assert agreed / total >= MIN_AGREEMENT
    assert error / total <= MAX_MEAN_LOGPROB_ERROR


def test_adapters_speak_in_their_voice(client):
    for name, has_voice in train.VOICES.items():
        texts = [client.chat.completions.create(model=name, messages=[{"role": "user", "content": question}],
                                                temperature=0, max_tokens=60).choices[0].message.content
                 for question in train.UNSEEN]
        good = sum(has_voice(text.strip()) for text in texts)
        assert good >= len(texts) - 1, texts
