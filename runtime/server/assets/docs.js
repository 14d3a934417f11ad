"use strict";

// Draws /openapi.json: what each endpoint takes, and a form to try it.

const schemas = {};

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function resolved(schema) {
  return schema && schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema || {};
}

function typeName(schema) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  const several = schema.anyOf || schema.oneOf;
  if (several) return several.map(typeName).join(" | ");
  if (schema.type === "array") return `[${typeName(schema.items)}]`;
  return Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type || "any";
}

function fieldList(schema, parent) {
  const shape = resolved(schema);
  if (shape.description) element("p", shape.description, parent);
  const list = element("ul", "", parent);
  for (const [name, field] of Object.entries(shape.properties || {})) {
    const item = element("li", "", list);
    element("code", name, item);
    item.append(` ${typeName(field)}${(shape.required || []).includes(name) ? ", required" : ""}`);
  }
}

function example(schema) {
  const shape = resolved(schema);
  const values = {};
  for (const name of shape.required || []) {
    const field = resolved(shape.properties[name]);
    values[name] = field.type === "array" ? [] : field.type === "integer" ? 0 : "";
  }
  return JSON.stringify(values, null, 2);
}

function form(method, path, body, parent) {
  const text = body ? element("textarea", "", parent) : null;
  if (text) text.value = example(body);
  const button = element("button", "Send", parent);
  const answer = element("pre", "", parent);
  answer.hidden = true;
  button.addEventListener("click", async () => {
    const options = { method: method.toUpperCase(), headers: { "Content-Type": "application/json" } };
    if (text) options.body = text.value;
    const response = await fetch(path, options);
    const raw = await response.text();
    answer.hidden = false;
    answer.textContent = `${response.status}\n${raw}`;
  });
}

function operation(method, path, details, parent) {
  const box = element("details", "", parent);
  const head = element("summary", "", box);
  const verb = element("span", method.toUpperCase(), head);
  verb.className = "method";
  element("code", path, head);
  head.append(`  ${details.summary}`);
  const body = details.requestBody && details.requestBody.content["application/json"].schema;
  if (details.description) element("p", details.description, box);
  if (body) fieldList(body, box);
  const answer = details.responses["200"].content["application/json"];
  if (answer) element("p", `Answers ${typeName(answer.schema)}.`, box);
  if (!path.includes("{")) form(method, path, body, box);
}

async function draw() {
  const specification = await (await fetch("/openapi.json")).json();
  Object.assign(schemas, specification.components.schemas);
  const main = document.getElementById("endpoints");
  main.replaceChildren();
  const sections = new Map();
  for (const [path, methods] of Object.entries(specification.paths)) {
    for (const [method, details] of Object.entries(methods)) {
      const tag = details.tags[0];
      if (!sections.has(tag)) {
        element("h2", tag, main);
        sections.set(tag, element("section", "", main));
      }
      operation(method, path, details, sections.get(tag));
    }
  }
}

draw();
