// The page at /: choose a model, try what it does, and see the request as a command.

import { KINDS, kindOf, rankOf } from "/assets/forms.js";
import { watch } from "/assets/live.js";
import { byId, element } from "/assets/elements.js";

let models = [];
let model = null;
let task = "";
let running = null;

function headers() {
  const key = byId("key").value;
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

// Sends what a form asks; its error says what the server said.
async function ask(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: headers(),
    body: JSON.stringify(body),
    signal: running.signal,
  });
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Error((answer.error && answer.error.message) || answer.error || answer.message || response.statusText);
}

function value(name) {
  return byId(`field-${name}`).value;
}

function kind() {
  return KINDS[kindOf(task)];
}

function chosen(parent, names, current, choose) {
  const buttons = names.map((name) => {
    const button = element("button", name);
    button.type = "button";
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(name === current));
    button.addEventListener("click", () => choose(name));
    return button;
  });
  parent.replaceChildren(...buttons);
}

function chooseModel(name) {
  model = models.find((candidate) => candidate.id === name);
  chosen(byId("models"), models.map((each) => each.id), name, chooseModel);
  model.tasks.sort((one, other) => rankOf(one) - rankOf(other));
  chooseTask(model.tasks[0]);
}

function chooseTask(name) {
  if (running) running.abort();
  task = name;
  chosen(byId("tasks"), model.tasks.length > 1 ? model.tasks : [], name, chooseTask);
  byId("try").classList.toggle("chat", kindOf(task) === "chat");
  byId("result").replaceChildren();
  byId("time").textContent = "";
  byId("clear").hidden = true;
  kind().start();
  drawFields();
}

function drawFields() {
  const fields = byId("fields");
  fields.replaceChildren();
  for (const [name, field] of Object.entries(kind().fields)) {
    const label = element("label", field.label, fields);
    const area = element("textarea", "", label);
    area.id = `field-${name}`;
    area.value = field.text;
    area.rows = field.rows || 1;
    area.addEventListener("input", drawCommand);
    area.addEventListener("keydown", (pressed) => {
      const sends = pressed.key === "Enter" && !pressed.shiftKey && (pressed.ctrlKey || pressed.metaKey || !field.rows);
      if (sends && !pressed.isComposing) {
        pressed.preventDefault();
        byId("form").requestSubmit();
      }
    });
  }
  drawCommand();
}

function drawCommand() {
  let request;
  try {
    request = kind().request(model.id, task, value, model.max_model_len);
  } catch (error) {
    byId("command").textContent = error.message;
    return;
  }
  const body = JSON.stringify(request.body, null, 2).replaceAll("'", "'\\''");
  const key = byId("key").value ? ` \\\n  -H 'Authorization: Bearer '"$KEY"` : "";
  const address = window.location.origin + request.path;
  byId("command").textContent = `curl ${address}${key} \\\n  -H 'Content-Type: application/json' -d '${body}'`;
}

async function send(submitted) {
  submitted.preventDefault();
  if (!model) return;
  if (running) running.abort();
  const mine = new AbortController();
  running = mine;
  const result = byId("result");
  byId("stop").hidden = false;
  byId("time").textContent = "";
  const started = performance.now();
  try {
    const request = kind().request(model.id, task, value, model.max_model_len);
    const response = await ask(request.path, request.body);
    const said = await kind().show(response, result, value);
    byId("time").textContent = said || `${(performance.now() - started).toFixed(0)} ms`;
  } catch (error) {
    if (error.name !== "AbortError") result.replaceChildren(...kept(result), element("p", error.message, null, "error"));
  }
  if (running === mine) {
    running = null;
    byId("stop").hidden = true;
    byId("clear").hidden = kindOf(task) !== "chat";
    drawCommand();
  }
}

// A conversation stays where an answer failed; other results go.
function kept(result) {
  return kindOf(task) === "chat" ? [...result.children].filter((child) => child.className !== "error") : [];
}

async function loadModels() {
  const response = await fetch("/v1/models", { headers: headers() });
  byId("key-row").hidden = response.status !== 401 && !byId("key").value;
  if (!response.ok) {
    const needsKey = response.status === 401;
    const said = needsKey ? "This server needs an API key." : `The server answers ${response.status}.`;
    byId("result").replaceChildren(element("p", said, null, needsKey ? "muted" : "error"));
    return;
  }
  models = (await response.json()).data;
  if (models.length) chooseModel(models[0].id);
}

// Light and dark follow the system until somebody chooses.
function switchTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.style.colorScheme || (dark ? "dark" : "light");
  setTheme(now === "dark" ? "light" : "dark");
}

function setTheme(name) {
  document.documentElement.style.colorScheme = name;
  window.localStorage.setItem("headway-theme", name);
}

const remembered = window.localStorage.getItem("headway-theme");
if (remembered) setTheme(remembered);
byId("theme").addEventListener("click", switchTheme);
byId("key").addEventListener("change", loadModels);
byId("key-row").addEventListener("submit", (submitted) => submitted.preventDefault());
byId("form").addEventListener("submit", send);
byId("stop").addEventListener("click", () => running && running.abort());
byId("clear").addEventListener("click", () => chooseTask(task));
loadModels();
watch();
