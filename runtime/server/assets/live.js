// The server's measurements as they change: what Prometheus's counters grew by since the last look.

import { byId, element, shape } from "/assets/elements.js";

const INTERVAL_MS = 2000;
const NUM_POINTS = 60;
// Looks over which latencies are taken together.
const WINDOW = 15;
// What this page itself asks for, and other looks at the server.
const LOOKS = ["/", "/docs", "/openapi.json", "/metrics", "/health", "/ping", "/v1/models", "/v2/health/live", "/v2/health/ready"];

const history = { requests: [], tokens: [], latency: [], running: [] };
const buckets = [];
let last = null;

// Name → [labels, number] of each line.
function parsed(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    if (!line || line.startsWith("#")) continue;
    const split = line.lastIndexOf(" ");
    const [, name, inside] = line.slice(0, split).match(/^(\w+)(?:{(.*)})?$/) || [];
    const labels = Object.fromEntries([...(inside || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((one) => one.slice(1)));
    if (!found.has(name)) found.set(name, []);
    found.get(name).push([labels, Number(line.slice(split + 1))]);
  }
  return found;
}

const isWork = (labels) => !LOOKS.includes(labels.endpoint) && !(labels.endpoint || "").startsWith("/assets/");

function sum(found, name) {
  return (found.get(name) || []).filter(([labels]) => isWork(labels)).reduce((total, [, number]) => total + number, 0);
}

function bucketCounts(found) {
  const counts = new Map();
  for (const [labels, number] of found.get("headway_request_seconds_bucket") || []) {
    const limit = Number(labels.le === "+Inf" ? Infinity : labels.le);
    if (isWork(labels)) counts.set(limit, (counts.get(limit) || 0) + number);
  }
  return counts;
}

// Seconds below which a share of the requests lie, between the limits of its bucket.
function quantile(share) {
  if (buckets.length < 2) return null;
  const [first, now] = [buckets[0], buckets[buckets.length - 1]];
  const grown = [...now].map(([limit, count]) => [limit, count - (first.get(limit) || 0)]);
  const total = grown.length ? grown[grown.length - 1][1] : 0;
  if (!total) return null;
  let [lower, below] = [0, 0];
  for (const [limit, count] of grown) {
    if (count >= share * total) {
      if (limit === Infinity) return lower;
      return lower + ((limit - lower) * (share * total - below)) / Math.max(count - below, 1);
    }
    [lower, below] = [limit, count];
  }
  return lower;
}

const milliseconds = (seconds) => (seconds === null ? "–" : `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`);

function chart(name, number, text) {
  byId(`live-${name}`).textContent = text;
  const values = history[name];
  values.push(number);
  if (values.length > NUM_POINTS) values.shift();
  const highest = Math.max(...values, 1e-9);
  const step = 120 / (NUM_POINTS - 1);
  const left = 120 - step * (values.length - 1);
  const points = values.map((each, index) => [(left + step * index).toFixed(1), (31 - (28 * each) / highest).toFixed(1)]);
  byId(`chart-${name}`).replaceChildren(shape("polygon", [[left, 32], ...points, [120, 32]]), shape("polyline", points));
}

function drawLoads(found) {
  const models = new Map();
  for (const [column, name] of ["headway_running", "headway_queue_size", "headway_worker_restarts"].entries()) {
    for (const [labels, number] of found.get(name) || []) {
      if (!models.has(labels.model)) models.set(labels.model, [0, 0, 0]);
      models.get(labels.model)[column] = number;
    }
  }
  const rows = [...models].map(([name, numbers]) => {
    const row = element("tr");
    for (const cell of [name, ...numbers]) element("td", cell, row);
    return row;
  });
  byId("loads").tBodies[0].replaceChildren(...rows);
  return models.size;
}

async function look() {
  const response = await fetch("/metrics");
  if (!response.ok) throw new Error(response.statusText);
  const found = parsed(await response.text());
  const now = {
    seconds: performance.now() / 1000,
    requests: sum(found, "headway_requests_total"),
    read: sum(found, "headway_prompt_tokens_total"),
    written: sum(found, "headway_generated_tokens_total"),
  };
  buckets.push(bucketCounts(found));
  if (buckets.length > WINDOW) buckets.shift();
  const running = sum(found, "headway_running");
  chart("running", running, running);
  byId("note-running").textContent = `${sum(found, "headway_queue_size")} waiting`;
  if (last) draw(now, now.seconds - last.seconds);
  last = now;
  const numModels = drawLoads(found);
  state("good", `${numModels} ${numModels === 1 ? "model" : "models"} ready`);
}

function draw(now, passed) {
  const rate = (name) => (now[name] - last[name]) / passed;
  const shown = (number) => number.toFixed(number < 10 ? 1 : 0);
  chart("requests", rate("requests"), shown(rate("requests")));
  byId("note-requests").textContent = `${now.requests} in all`;
  const tokens = rate("read") + rate("written");
  chart("tokens", tokens, shown(tokens));
  byId("note-tokens").textContent = rate("written") ? `${shown(rate("written"))} written` : "";
  const median = quantile(0.5);
  chart("latency", median || 0, milliseconds(median));
  byId("note-latency").textContent = median === null ? "" : `p95 ${milliseconds(quantile(0.95))}`;
}

function state(className, text) {
  byId("status").className = `status ${className}`;
  byId("status").textContent = text;
}

export async function watch() {
  try {
    await look();
  } catch {
    state("bad", "no connection");
  }
  window.setTimeout(watch, INTERVAL_MS);
}
