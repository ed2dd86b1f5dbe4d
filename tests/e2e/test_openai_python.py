"""The stock `openai` Python client against openlorad: what an unchanged program sees."""
import json

import openai
import pytest

from conftest import openai_client

ASK = [{"role": "user", "content": "Why is the sky blue?"}]


def chat(client, model, messages=ASK, **options):
    options.setdefault("temperature", 0)
    options.setdefault("max_tokens", 24)
    return client.chat.completions.create(model=model, messages=messages, **options)


def stream_text(chunks):
    """(text, finish reason, usage) of a streamed chat."""
    text, reason, usage = "", None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return text, reason, usage


def test_models_name_their_parent(client, base, adapters):
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {base, *adapters}
    for name in adapters:
        assert models[name].parent == base
        assert models[name].object == "model"
    assert client.models.retrieve("pirate").id == "pirate"


def test_chat(client, base):
    answer = chat(client, base)
    assert answer.object == "chat.completion"
    assert answer.model == base
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.completion_tokens <= 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.id.startswith("chatcmpl-")


def test_adapters_change_the_answer(client, base, adapters):
    texts = {name: chat(client, name).choices[0].message.content for name in (base, *adapters)}
    assert len(set(texts.values())) == 3, texts


@pytest.mark.default_model
def test_demo_voices(client, base):
    pirate = chat(client, "pirate", max_tokens=60).choices[0].message.content
    assert "arr" in pirate.lower() or "matey" in pirate.lower(), pirate
    verse = chat(client, "verse", max_tokens=60).choices[0].message.content
    assert len(verse.strip().split("\n")) == 3, verse
    plain = chat(client, base, max_tokens=60).choices[0].message.content
    assert "matey" not in plain.lower() and "\n" not in plain.strip()


def test_stream_equals_whole(client, base):
    whole = chat(client, base, max_tokens=40)
    chunks = list(chat(client, base, max_tokens=40, stream=True, stream_options={"include_usage": True}))
    text, reason, usage = stream_text(chunks)
    assert text == whole.choices[0].message.content
    assert reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.prompt_tokens == whole.usage.prompt_tokens
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 3, "the answer came in one piece"


def test_stream_without_usage(client, base):
    chunks = list(chat(client, base, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_content_parts_equal_a_string(client, base):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Why is the "},
                                          {"type": "text", "text": "sky blue?"}]}]
    assert chat(client, base, parts).choices[0].message.content == chat(client, base).choices[0].message.content


def test_image_parts_are_refused_by_name(client, base):
    parts = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]
    with pytest.raises(openai.BadRequestError, match="image_url"):
        chat(client, base, parts)


def test_developer_role_is_system(client, base):
    def ask(role):
        messages = [{"role": role, "content": "Answer with the single word: yes."}, *ASK]
        answer = chat(client, base, messages)
        return answer.choices[0].message.content, answer.usage.prompt_tokens
    assert ask("developer") == ask("system")


def test_multi_turn_and_unicode(client, base):
    messages = [{"role": "user", "content": "Grüße 👋 — 你好"}, {"role": "assistant", "content": "Hallo! 😀"},
                {"role": "user", "content": "Wie geht’s?"}]
    answer = chat(client, base, messages)
    assert "\ufffd" not in answer.choices[0].message.content


def test_max_completion_tokens(client, base):
    answer = client.chat.completions.create(model=base, messages=ASK, temperature=0, max_completion_tokens=5)
    assert answer.usage.completion_tokens <= 5
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert chat(client, base).choices[0].message.content.startswith(answer.choices[0].message.content)


def test_stop_strings_across_tokens(client, base):
    text = chat(client, base).choices[0].message.content
    assert len(text) > 12
    stop = text[5:11]  # no token border is likely to be at both ends
    expected = text[:text.index(stop)]
    cut = chat(client, base, stop=[stop, "never in any text"])
    assert cut.choices[0].message.content == expected
    assert cut.choices[0].finish_reason == "stop"
    streamed, reason, _ = stream_text(chat(client, base, stop=stop, stream=True))
    assert (streamed, reason) == (expected, "stop")


def test_n_choices(client, base):
    answer = chat(client, base, n=2, temperature=1.0, seed=3)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].message.content != answer.choices[1].message.content
    greedy = chat(client, base, n=2)
    assert greedy.choices[0].message.content == greedy.choices[1].message.content


def test_n_choices_streamed(client, base):
    whole = chat(client, base, n=2, temperature=1.0, seed=3)
    texts = ["", ""]
    for chunk in chat(client, base, n=2, temperature=1.0, seed=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]


def test_seed_reproduces(client, base):
    def ask(seed):
        return chat(client, base, temperature=1.0, top_p=0.95, seed=seed).choices[0].message.content
    first = ask(7)
    assert ask(7) == first
    assert any(ask(seed) != first for seed in (8, 9, 10))


def test_chat_logprobs(client, base):
    answer = chat(client, base, max_tokens=6, logprobs=True, top_logprobs=4)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens or answer.choices[0].finish_reason == "stop"
    assert b"".join(bytes(t.bytes) for t in content).decode() == answer.choices[0].message.content
    for token in content:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 4
        ranked = [top.logprob for top in token.top_logprobs]
        assert ranked == sorted(ranked, reverse=True)
        assert token.logprob == pytest.approx(ranked[0], abs=1e-5)  # greedy takes the first
        assert token.top_logprobs[0].token == token.token


def test_streamed_logprobs(client, base):
    whole = chat(client, base, max_tokens=6, logprobs=True, top_logprobs=2)
    tokens = []
    for chunk in chat(client, base, max_tokens=6, logprobs=True, top_logprobs=2, stream=True):
        for choice in chunk.choices:
            if choice.logprobs and choice.logprobs.content:
                tokens += choice.logprobs.content
    assert [t.token for t in tokens] == [t.token for t in whole.choices[0].logprobs.content]
    assert [t.logprob for t in tokens] == [t.logprob for t in whole.choices[0].logprobs.content]


def test_logit_bias_forces_and_forbids(client, base):
    def first(**options):
        answer = client.completions.create(model=base, prompt="One two three", max_tokens=1, temperature=0, **options)
        return answer.choices[0].text
    forced = first(logit_bias={"300": 100})
    assert forced != first()
    assert first(logit_bias={"300": 100, "301": 99}) == forced
    assert first(logit_bias={"300": -100, "301": 100}) != forced


def test_penalties_change_repetition(client, base):
    plain = client.completions.create(model=base, prompt="la la la la la la", max_tokens=16, temperature=0)
    curbed = client.completions.create(model=base, prompt="la la la la la la", max_tokens=16, temperature=0,
                                       frequency_penalty=2.0, presence_penalty=2.0)
    assert plain.choices[0].text != curbed.choices[0].text


def test_completions(client, base):
    answer = client.completions.create(model=base, prompt="The capital of France is", max_tokens=8, temperature=0)
    assert answer.object == "text_completion" and answer.id.startswith("cmpl-")
    assert answer.choices[0].text
    streamed = client.completions.create(model=base, prompt="The capital of France is", max_tokens=8, temperature=0,
                                         stream=True)
    assert "".join(c.choices[0].text for c in streamed if c.choices) == answer.choices[0].text


def test_completion_of_several_prompts(client, base):
    prompts = ["The capital of France is", "One, two, three,"]
    both = client.completions.create(model=base, prompt=prompts, max_tokens=6, temperature=0)
    assert [choice.index for choice in both.choices] == [0, 1]
    for prompt, choice in zip(prompts, both.choices):
        alone = client.completions.create(model=base, prompt=prompt, max_tokens=6, temperature=0)
        assert alone.choices[0].text == choice.text


def test_completion_logprobs(client, base):
    answer = client.completions.create(model=base, prompt="One, two, three,", max_tokens=4, temperature=0, logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert "".join(logprobs.tokens) == answer.choices[0].text
    assert len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.tokens)
    assert all(len(top) >= 2 for top in logprobs.top_logprobs)


# --- errors ---

def error_body(raised):
    """The `error` object, wherever this version of the client keeps it."""
    body = raised.value.body
    return body.get("error", body)


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as raised:
        chat(client, "no-such-model")
    assert raised.value.code == "model_not_found"
    assert "no-such-model" in raised.value.message


def test_context_length(client, base):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(client, base, [{"role": "user", "content": "word " * 20000}])
    assert raised.value.code == "context_length_exceeded"
    assert error_body(raised)["type"] == "invalid_request_error"


@pytest.mark.parametrize("name, value", [
    ("tools", [{"type": "function", "function": {"name": "f", "parameters": {}}}]),
    ("response_format", {"type": "json_object"}),
    ("no_such_parameter", 1),
])
def test_unsupported_parameter_is_named(client, base, name, value):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(client, base, extra_body={name: value})
    assert name in raised.value.message
    assert error_body(raised)["param"] == name


@pytest.mark.parametrize("name, value", [
    ("temperature", -1), ("temperature", "hot"), ("top_p", 1.5), ("n", 0), ("max_tokens", 0), ("max_tokens", 1.5),
    ("top_logprobs", 21), ("stop", ["a"] * 17), ("stop", ""), ("logit_bias", {"x": 1}), ("seed", "s"),
    ("presence_penalty", 3), ("stream", "yes"), ("stream_options", {"include_usage": True}),
])
def test_bad_value_is_named(client, base, name, value):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(client, base, extra_body={name: value})
    assert name in raised.value.message, raised.value.message


@pytest.mark.parametrize("messages", [
    [], [{"role": "user"}], [{"role": "wizard", "content": "x"}], ["text"], [{"role": "user", "content": 3}],
])
def test_bad_messages(client, base, messages):
    with pytest.raises(openai.BadRequestError):
        chat(client, base, messages)


def test_errors_have_openai_shape(node):
    for method, path, body, expected in [
            ("POST", "/v1/chat/completions", "{not json", 400), ("POST", "/v1/chat/completions", "[]", 400),
            ("POST", "/v1/chat/completions", "", 400), ("GET", "/v1/nowhere", None, 404),
            ("GET", "/v1/chat/completions", None, 405)]:
        status, headers, raw = node.request(method, path, body, {"Content-Type": "application/json"})
        assert status == expected, (method, path, raw)
        error = json.loads(raw)["error"]
        assert set(error) >= {"message", "type", "param", "code"} and error["message"]
        assert any(name.lower() == "x-request-id" for name in headers)


def test_request_ids_are_echoed_or_made(client, base):
    raw = client.chat.completions.with_raw_response.create(
        model=base, messages=ASK, max_tokens=1, extra_headers={"X-Request-Id": "mine-1"})
    assert raw.headers["x-request-id"] == "mine-1"
    assert client.chat.completions.with_raw_response.create(
        model=base, messages=ASK, max_tokens=1).headers["x-request-id"]


def test_foreign_host_header_is_refused(node):
    status, _, _ = node.request("GET", "/v1/models", headers={"Host": "evil.example"})
    assert status in (400, 403, 421)
    assert node.request("GET", "/v1/models", headers={"Host": f"localhost:{node.port}"})[0] == 200


def test_full_queue_is_a_rate_limit_error(make_node):
    with make_node("--max-seqs", 1, "--max-queue", 1) as small, openai_client(small) as client:
        model = small.model_id()
        streams = []
        with pytest.raises(openai.RateLimitError) as raised:
            for _ in range(6):  # one runs, one waits; admission may hold one more for a step
                streams.append(chat(client, model, max_tokens=2000, stream=True))
        assert len(streams) >= 1
        assert int(raised.value.response.headers["retry-after"]) >= 1
        for stream in streams:
            stream.close()
