// One form for each kind of head: its fields, the request they make, and how the answer is shown.

import { element } from "/assets/elements.js";

// In the order in which a model's tasks are shown: what it is made for first.
const KIND_OF_TASK = {
  "text-generation": "chat",
  embed: "similarity",
  rerank: "rerank",
  "zero-shot-classification": "zeroShot",
  "text-classification": "labels",
  "token-classification": "entities",
  "question-answering": "question",
  "fill-mask": "mask",
  "text2text-generation": "rewrite",
};
const MAX_NEW_TOKENS = 512;
const MAX_SHOWN = 20000;

export function kindOf(task) {
  return KIND_OF_TASK[task] || "json";
}

export function rankOf(task) {
  const place = Object.keys(KIND_OF_TASK).indexOf(task);
  return place < 0 ? Infinity : place;
}

const lines = (text) => text.split("\n").filter((line) => line.trim());
const pipeline = (task, model, inputs, parameters) => ({
  path: `/v1/pipelines/${task}`,
  body: { model, inputs, ...(parameters ? { parameters } : {}) },
});
const nothing = () => {};

let conversation = [];

export const KINDS = {
  chat: {
    fields: { text: { label: "Message", text: "Name three things that are blue." } },
    start: () => (conversation = []),
    request: (model, task, value, maxTokens) => ({
      path: "/v1/chat/completions",
      body: {
        model,
        messages: [...conversation, { role: "user", content: value("text") }],
        stream: true,
        stream_options: { include_usage: true },
        // Small models ramble at the API's default of 1.
        temperature: 0.2,
        // The rest of a short context is for the conversation.
        max_completion_tokens: Math.min(MAX_NEW_TOKENS, Math.floor((maxTokens || Infinity) / 4)),
      },
    }),
    show: showChat,
  },
  similarity: {
    fields: {
      source: { label: "Sentence", text: "A man is eating food." },
      sentences: {
        label: "Compared with, one on each line",
        text: "Someone is having a meal.\nA woman is playing the violin.\nThe stock market fell today.",
        rows: 3,
      },
    },
    start: nothing,
    request: (model, task, value) => ({
      path: "/similarity",
      body: { model, inputs: { source_sentence: value("source"), sentences: lines(value("sentences")) } },
    }),
    show: async (response, result, value) => {
      const scores = await response.json();
      bars(sorted(lines(value("sentences")).map((sentence, index) => [sentence, scores[index]])), result);
    },
  },
  labels: {
    fields: { text: { label: "Text", text: "I love this film." } },
    start: nothing,
    request: (model, task, value) => ({ path: "/predict", body: { model, inputs: value("text") } }),
    show: async (response, result) =>
      bars((await response.json()).map((entry) => [entry.label, entry.score]), result),
  },
  entities: {
    fields: { text: { label: "Text", text: "Angela Merkel lived in Berlin and worked for the European Union.", rows: 2 } },
    start: nothing,
    request: (model, task, value) => pipeline(task, model, value("text"), { aggregation_strategy: "simple" }),
    show: async (response, result, value) => highlighted(value("text"), await response.json(), result),
  },
  rerank: {
    fields: {
      query: { label: "Query", text: "What do people eat?" },
      documents: {
        label: "Documents, one on each line",
        text: "A man eats bread.\nThe market fell.\nRice feeds half of the world.",
        rows: 3,
      },
    },
    start: nothing,
    request: (model, task, value) => ({
      path: "/rerank",
      body: { model, query: value("query"), texts: lines(value("documents")), return_text: true },
    }),
    show: async (response, result) => bars((await response.json()).map((rank) => [rank.text, rank.score]), result),
  },
  zeroShot: {
    fields: {
      text: { label: "Text", text: "The new phone has a better camera.", rows: 2 },
      labels: { label: "Labels, one on each line", text: "technology\nsport\ncooking", rows: 3 },
    },
    start: nothing,
    request: (model, task, value) =>
      pipeline(task, model, value("text"), { candidate_labels: lines(value("labels")) }),
    show: async (response, result) => bars((await response.json()).map((entry) => [entry.label, entry.score]), result),
  },
  question: {
    fields: {
      question: { label: "Question", text: "Where do they live?" },
      context: { label: "Text", text: "My name is Clara and I live in Berkeley.", rows: 3 },
    },
    start: nothing,
    request: (model, task, value) =>
      pipeline(task, model, { question: value("question"), context: value("context") }),
    show: async (response, result, value) => {
      const answer = await response.json();
      highlighted(value("context"), [{ ...answer, entity_group: "answer" }], result);
    },
  },
  mask: {
    fields: { text: { label: "Text with the model's mask", text: "Paris is the [MASK] of France." } },
    start: nothing,
    request: (model, task, value) => pipeline(task, model, value("text")),
    show: async (response, result) =>
      bars((await response.json()).flat().map((entry) => [entry.sequence, entry.score]), result),
  },
  rewrite: {
    fields: { text: { label: "Text", text: "The weather was fine, so they walked to the lake.", rows: 3 } },
    start: nothing,
    request: (model, task, value) => pipeline(task, model, value("text")),
    show: async (response, result) => {
      const answer = [await response.json()].flat()[0];
      result.replaceChildren(element("p", Object.values(answer)[0], null, "answer"));
    },
  },
  json: {
    fields: { inputs: { label: "Inputs as JSON", text: '"Some text"', rows: 4 } },
    start: nothing,
    request: (model, task, value) => pipeline(task, model, JSON.parse(value("inputs"))),
    show: async (response, result) => {
      const text = JSON.stringify(await response.json(), null, 2);
      result.replaceChildren(element("pre", text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text));
    },
  },
};

const sorted = (entries) => entries.sort((one, other) => other[1] - one[1]);

function bars(entries, result) {
  const list = element("ul", undefined, null, "bars");
  for (const [label, score] of entries) {
    const row = element("li", undefined, list);
    element("span", label, row);
    element("span", score.toFixed(4), row, "score");
    const fill = element("div", undefined, element("div", undefined, row, "track"), "fill");
    fill.style.width = `${100 * Math.max(0, Math.min(1, score))}%`;
  }
  result.replaceChildren(list);
}

function highlighted(text, entities, result) {
  const line = element("p", undefined, null, "answer");
  const colors = new Map();
  // The server counts characters, a script's strings UTF-16 units.
  const characters = Array.from(text);
  let end = 0;
  for (const entity of entities) {
    if (!colors.has(entity.entity_group)) colors.set(entity.entity_group, colors.size % 4);
    line.append(characters.slice(end, entity.start).join(""));
    const mark = element("mark", characters.slice(entity.start, entity.end).join(""), line);
    mark.dataset.color = colors.get(entity.entity_group);
    mark.title = `${entity.entity_group}, score ${entity.score.toFixed(4)}`;
    element("small", entity.entity_group, mark);
    end = entity.end;
  }
  line.append(characters.slice(end).join(""));
  result.replaceChildren(line);
  if (!entities.length) element("p", "Nothing was found.", result, "muted");
}

async function showChat(response, result, value) {
  const question = value("text");
  element("div", question, result, "bubble user");
  const answer = element("div", "", result, "bubble assistant writing");
  document.getElementById("field-text").value = "";
  const started = performance.now();
  let first = 0;
  let usage = null;
  try {
    for await (const chunk of chunks(response)) {
      if (chunk.error) throw new Error(chunk.error.message);
      usage = chunk.usage || usage;
      const text = chunk.choices.length ? chunk.choices[0].delta.content : "";
      if (text && !first) first = performance.now();
      answer.append(text || "");
    }
  } finally {
    answer.classList.remove("writing");
    conversation.push({ role: "user", content: question }, { role: "assistant", content: answer.textContent });
  }
  const seconds = (performance.now() - (first || started)) / 1000;
  const numTokens = usage ? usage.completion_tokens : 0;
  return `${numTokens} tokens, ${(numTokens / Math.max(seconds, 1e-3)).toFixed(0)} / s`;
}

// The JSON of each server-sent event.
async function* chunks(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value: bytes } = await reader.read();
    if (done) return;
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}
