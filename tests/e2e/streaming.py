"""Streams read by hand: for tests that must see each chunk, leave early or hold a connection open."""
import http.client
import json
import socket


class Stream:
    """A streamed completion. Iterating gives the pieces of text of choice 0; `reason` is set at the end."""

    def __init__(self, node, model, prompt="Once upon a time", max_tokens=64, chat=False, headers=None, **options):
        body = {"model": model, "max_tokens": max_tokens, "temperature": 0, "stream": True, **options}
        if chat:
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        self.connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=300 * node.patience)
        self.connection.request("POST", "/v1/chat/completions" if chat else "/v1/completions", json.dumps(body),
                                {"Content-Type": "application/json", **(headers or {})})
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.headers = {name.lower(): value for name, value in self.answer.getheaders()}
        self.reason = None
        self.error = None if self.status == 200 else self.answer.read().decode()

    def __iter__(self):
        for line in self.answer:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                self.error = event["error"]
                continue
            for choice in event["choices"]:
                self.reason = choice.get("finish_reason") or self.reason
                yield choice["text"] if "text" in choice else choice["delta"].get("content") or ""

    def read(self):
        text = "".join(self)
        self.close()
        return text

    def close(self):
        # A plain close would leave the file object of the answer holding the socket open.
        self.answer.close()
        if self.connection.sock:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def complete(node, model, prompt, max_tokens=32, **options):
    """Greedy text of a whole completion, or None with its status where it was refused."""
    status, answer = node.json("POST", "/v1/completions",
                               {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, **options})
    return answer["choices"][0]["text"] if status == 200 else (status, answer)
