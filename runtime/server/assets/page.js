"use strict";

// The page at /: one form for each kind of head, and the server's measurements as they change.

const byId = (id) => document.getElementById(id);
let models = [];
let running = null;

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function headers() {
  const key = byId("key").value;
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function ask(path, body, signal) {
  const response = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(body), signal });
  if (!response.ok) {
    const answer = await response.json();
    throw new Error((answer.error && answer.error.message) || answer.error || answer.message || response.status);
  }
  return response;
}

// Kind of form → its fields, and what is asked and shown.
const KINDS = {
  chat: { fields: { text: "Say something." }, run: runChat },
  similarity: { fields: { first: "A man is eating food.", second: "Someone is having a meal." }, run: runSimilarity },
  labels: { fields: { text: "I love this film." }, run: runLabels },
  entities: { fields: { text: "Angela Merkel lived in Berlin." }, run: runEntities },
  rerank: { fields: { query: "What is eaten?", documents: "A man eats bread.\nThe market fell." }, run: runRerank },
  json: { fields: { inputs: '"Some text"' }, run: runJson },
};
const KIND_OF_TASK = {
  "text-generation": "chat",
  embed: "similarity",
  "text-classification": "labels",
  "token-classification": "entities",
  rerank: "rerank",
};

function kind() {
  return KINDS[KIND_OF_TASK[byId("task").value] || "json"];
}

function value(name) {
  return byId(`field-${name}`).value;
}

function drawFields() {
  const fields = byId("fields");
  fields.replaceChildren();
  for (const [name, text] of Object.entries(kind().fields)) {
    const label = element("label", name, fields);
    const area = element("textarea", "", label);
    area.id = `field-${name}`;
    area.value = text;
    area.rows = 3;
  }
  byId("result").replaceChildren();
}

function drawTasks() {
  const model = models.find((candidate) => candidate.id === byId("model").value);
  byId("task").replaceChildren(...(model ? model.tasks : []).map((task) => new Option(task, task)));
  const preferred = (model ? model.tasks : []).find((task) => task in KIND_OF_TASK);
  if (preferred) byId("task").value = preferred;
  drawFields();
}

async function runChat(result, signal) {
  const answer = element("p", "", result);
  answer.className = "answer";
  const messages = [{ role: "user", content: value("text") }];
  const body = { model: byId("model").value, messages, stream: true, max_completion_tokens: 512 };
  const reader = (await ask("/v1/chat/completions", body, signal)).body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value: bytes } = await reader.read();
    if (done) return;
    rest += decoder.decode(bytes, { stream: true });
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      if (chunk.choices.length) answer.append(chunk.choices[0].delta.content || "");
    }
  }
}

async function runSimilarity(result, signal) {
  const inputs = { source_sentence: value("first"), sentences: [value("second")] };
  const response = await ask("/similarity", { model: byId("model").value, inputs }, signal);
  bars([["cosine", (await response.json())[0]]], result);
}

async function runLabels(result, signal) {
  const response = await ask("/predict", { model: byId("model").value, inputs: value("text") }, signal);
  bars((await response.json()).map((entry) => [entry.label, entry.score]), result);
}

async function runRerank(result, signal) {
  const texts = value("documents").split("\n").filter((line) => line.trim());
  const body = { model: byId("model").value, query: value("query"), texts, return_text: true };
  bars((await (await ask("/rerank", body, signal)).json()).map((rank) => [rank.text, rank.score]), result);
}

async function runEntities(result, signal) {
  const text = value("text");
  const body = { model: byId("model").value, inputs: text, parameters: { aggregation_strategy: "simple" } };
  const entities = await (await ask("/v1/pipelines/token-classification", body, signal)).json();
  const line = element("p", "", result);
  line.className = "answer";
  let end = 0;
  // The server counts characters, a script's strings UTF-16 units.
  const characters = Array.from(text);
  for (const entity of entities) {
    line.append(characters.slice(end, entity.start).join(""));
    const mark = element("mark", characters.slice(entity.start, entity.end).join(""), line);
    element("small", ` ${entity.entity_group} ${entity.score.toFixed(2)}`, mark);
    end = entity.end;
  }
  line.append(characters.slice(end).join(""));
}

async function runJson(result, signal) {
  const body = { model: byId("model").value, inputs: JSON.parse(value("inputs")) };
  const response = await ask(`/v1/pipelines/${byId("task").value}`, body, signal);
  element("pre", JSON.stringify(await response.json(), null, 2).slice(0, 20000), result);
}

function bars(entries, result) {
  const table = element("table", undefined, result);
  for (const [label, score] of entries) {
    const row = element("tr", undefined, table);
    element("th", label, row);
    element("td", score.toFixed(4), row);
    const meter = element("meter", undefined, element("td", undefined, row));
    meter.value = Math.max(0, Math.min(1, score));
  }
}

async function send(submitted) {
  submitted.preventDefault();
  if (running) running.abort();
  running = new AbortController();
  const result = byId("result");
  result.replaceChildren();
  byId("stop").hidden = false;
  const started = performance.now();
  try {
    await kind().run(result, running.signal);
  } catch (error) {
    if (error.name !== "AbortError") element("p", error.message, result).className = "error";
  }
  byId("time").textContent = `${(performance.now() - started).toFixed(0)} ms`;
  byId("stop").hidden = true;
}

// Measurements: sums of Prometheus's counters, and what they grew by since the last look.
const history = { requests: [], tokens: [], latency: [] };
let last = null;

function sum(text, name) {
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

function chart(name, number) {
  byId(`live-${name}`).textContent = number.toFixed(number < 10 ? 1 : 0);
  const values = history[name];
  values.push(number);
  if (values.length > 60) values.shift();
  const highest = Math.max(...values, 1e-9);
  const points = values.map((each, index) => `${index * 2},${23 - (22 * each) / highest}`).join(" ");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points);
  byId(`chart-${name}`).replaceChildren(line);
}

async function look() {
  const text = await (await fetch("/metrics")).text();
  const now = {
    time: performance.now() / 1000,
    requests: sum(text, "headway_requests_total"),
    seconds: sum(text, "headway_request_seconds_sum"),
    tokens: sum(text, "headway_prompt_tokens_total") + sum(text, "headway_generated_tokens_total"),
  };
  if (last) {
    const passed = now.time - last.time;
    const answered = now.requests - last.requests;
    chart("requests", answered / passed);
    chart("tokens", (now.tokens - last.tokens) / passed);
    chart("latency", answered ? (1000 * (now.seconds - last.seconds)) / answered : 0);
  }
  last = now;
  byId("live-queue").textContent = `${sum(text, "headway_queue_size")}, ${sum(text, "headway_running")}`;
}

async function loadModels() {
  const response = await fetch("/v1/models", { headers: headers() });
  if (!response.ok) return;
  models = (await response.json()).data;
  byId("model").replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  drawTasks();
}

byId("model").addEventListener("change", drawTasks);
byId("task").addEventListener("change", drawFields);
byId("key").addEventListener("change", loadModels);
byId("form").addEventListener("submit", send);
byId("stop").addEventListener("click", () => running && running.abort());
loadModels();
setInterval(look, 2000);
look();
