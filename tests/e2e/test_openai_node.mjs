// The stock `openai` npm client against a running openlorad. Started by test_openai_node.py.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.OPENLORA_URL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Why is the sky blue?" }];
const greedy = { temperature: 0, max_tokens: 24, messages };

const models = [];
for await (const model of client.models.list()) models.push(model);
const base = models.find((model) => !model.parent).id;
const adapters = models.filter((model) => model.parent === base).map((model) => model.id);

async function text(options) {
  const answer = await client.chat.completions.create({ ...greedy, ...options });
  return answer.choices[0].message.content;
}

test("models list adapters with their parent", () => {
  assert.deepEqual(adapters.sort(), ["pirate", "verse"]);
});

test("base and adapters answer differently", async () => {
  const texts = await Promise.all([base, ...adapters].map((model) => text({ model })));
  assert.equal(new Set(texts).size, 3);
});

test("a stream equals the whole answer and ends with usage", async () => {
  const whole = await text({ model: base });
  let streamed = "";
  let usage = null;
  const stream = await client.chat.completions.create({
    ...greedy, model: base, stream: true, stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(streamed, whole);
  assert.ok(usage.completion_tokens > 0);
});

test("developer role, content parts and stop strings", async () => {
  const parts = [{ type: "text", text: "Why is the " }, { type: "text", text: "sky blue?" }];
  const whole = await text({ model: base });
  assert.equal(await text({ model: base, messages: [{ role: "user", content: parts }] }), whole);
  const developer = [{ role: "developer", content: "Be brief." }, ...messages];
  const system = [{ role: "system", content: "Be brief." }, ...messages];
  assert.equal(await text({ model: base, messages: developer }), await text({ model: base, messages: system }));
  const stop = whole.slice(5, 11);
  assert.equal(await text({ model: base, stop }), whole.slice(0, whole.indexOf(stop)));
});

test("n, seed and logprobs", async () => {
  const options = { ...greedy, model: base, n: 2, seed: 5, temperature: 1, logprobs: true, top_logprobs: 2 };
  const one = await client.chat.completions.create(options);
  const two = await client.chat.completions.create(options);
  assert.equal(one.choices.length, 2);
  assert.deepEqual(one.choices.map((c) => c.message.content), two.choices.map((c) => c.message.content));
  assert.ok(one.choices[0].logprobs.content.every((token) => token.top_logprobs.length === 2));
});

test("completions", async () => {
  const answer = await client.completions.create({ model: base, prompt: "One, two,", max_tokens: 4, temperature: 0 });
  assert.ok(answer.choices[0].text.length > 0);
});

test("errors become the right classes", async () => {
  await assert.rejects(text({ model: "no-such-model" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
  const long = [{ role: "user", content: "word ".repeat(20000) }];
  await assert.rejects(text({ model: base, messages: long }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, "context_length_exceeded");
    return true;
  });
  await assert.rejects(text({ model: base, no_such_parameter: 1 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "no_such_parameter");
    return true;
  });
});

test("an aborted stream ends quietly and the node goes on", async () => {
  const controller = new AbortController();
  const stream = await client.chat.completions.create(
    { ...greedy, model: base, max_tokens: 200, stream: true }, { signal: controller.signal });
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta?.content) controller.abort();
  }
  assert.ok((await text({ model: base })).length > 0);
});
