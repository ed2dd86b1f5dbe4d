"""Conversations and tools for the template tests: every shape that clients send."""

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather \"now\" in a city\nsecond line é",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "City <name>"},
            "unit": {"type": "string", "enum": ["c", "f"]},
            "days": {"type": "array", "items": {"type": "integer"}},
            "more": {"type": "object", "properties": {"height": {"type": ["number", "null"]}}}}},
        "return": {"type": "string", "description": "a report"}}},
    {"type": "function", "function": {
        "name": "noop", "description": "nothing", "parameters": {"type": "object", "properties": {}}}},
]


def user(content):
    return {"role": "user", "content": content}


def system(content):
    return {"role": "system", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def tool(content, call="abcdefghi"):
    return {"role": "tool", "name": "get_weather", "content": content, "tool_call_id": call}


def call(arguments, id="abcdefghi"):
    return {"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


CONVERSATIONS = [
    [user("Hello")],
    [system("Be brief.\n"), user("Hi"), assistant("Hello!"), user("  spaced  \n")],
    [system(""), user(""), assistant(""), user("")],
    [user("日本語 🙂 é"), assistant("<think>\nhmm\n</think>\n\nanswer"), user("more"), assistant("ok"), user("again")],
    [user("w?"), assistant("", tool_calls=[call({"city": "Paris", "days": [1, 2], "x": None, "f": 1.5, "t": True})]),
     tool('{"t": 20}'), assistant("20 degrees"), user("thanks")],
    [system("sys"), user("w?"), assistant(None, tool_calls=[call({"city": "Zürich"}), call({"city": "Rom"}, "123456789")]),
     tool("a"), tool("b", "123456789")],
    [user("w?"), assistant("", tool_calls=[call('{"city": "Paris"}')]), tool({"t": 1})],
    [user([{"type": "text", "text": "part one"}, {"type": "text", "text": " part two"}]),
     assistant([{"type": "text", "text": "reply"}]), user([{"type": "image"}, {"type": "text", "text": "see"}])],
    [assistant("starts"), user("x")],
    [user("a"), user("b")],
    [],
    [{"role": "developer", "content": "dev"}, user("x"), assistant("y", reasoning_content="because"), user("z")],
    [user("u"), assistant("a", thinking="t")],
    [system("s"), system("s2"), user("x")],
]

SETTINGS = [
    {"add_generation_prompt": True},
    {"add_generation_prompt": False},
    {"add_generation_prompt": True, "tools": TOOLS},
    {"add_generation_prompt": True, "enable_thinking": False},
    {"add_generation_prompt": True, "tools": None, "documents": None},
]

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def variables():
    """What a template sees, for every conversation under every setting."""
    for messages in CONVERSATIONS:
        for settings in SETTINGS:
            yield {**TOKENS, "messages": messages, **settings}
