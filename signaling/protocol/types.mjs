// TypeScript types from messages.schema.json: node types.mjs > protocol.ts
// The schema keeps to the keywords that schema.c checks, so a small generator covers all of it; an unknown one is an error.
import { readFileSync } from "node:fs";

const schema = JSON.parse(readFileSync(new URL("messages.schema.json", import.meta.url), "utf8"));
const defs = schema.$defs;
const silent = ["title", "description", "minimum", "maximum", "minLength", "maxLength", "maxItems", "pattern"];
const spoken = ["$ref", "anyOf", "oneOf", "const", "enum", "type", "items", "properties", "required", "additionalProperties"];

function nameOf(key) {
  return defs[key].title ?? key.split(/[-.]/).map((word) => word[0].toUpperCase() + word.slice(1)).join("");
}

function property(name) {
  return /^[a-z_][a-z0-9_]*$/i.test(name) ? name : JSON.stringify(name);
}

function objectType(node, indent) {
  const required = new Set(node.required ?? []);
  const lines = Object.entries(node.properties).map(
    ([name, value]) => `${indent}  ${property(name)}${required.has(name) ? "" : "?"}: ${typeOf(value, indent + "  ")};`);
  return lines.length ? `{\n${lines.join("\n")}\n${indent}}` : "Record<string, never>";
}

function typeOf(node, indent) {
  for (const key of Object.keys(node))
    if (!silent.includes(key) && !spoken.includes(key)) throw new Error(`unknown keyword ${key}`);
  if (node.$ref) return nameOf(node.$ref.slice("#/$defs/".length));
  const choice = node.anyOf ?? node.oneOf;
  if (choice) return choice.map((one) => typeOf(one, indent)).join(" | ");
  if ("const" in node) return JSON.stringify(node.const);
  if (node.enum) return node.enum.map((one) => JSON.stringify(one)).join(" | ");
  switch (node.type) {
    case "object": return objectType(node, indent);
    case "array": return `Array<${typeOf(node.items, indent)}>`;
    case "integer": case "number": return "number";
    case "string": case "boolean": case "null": return node.type;
    default: throw new Error(`unknown type ${node.type}`);
  }
}

// One interface from a family of definitions, e.g. every `event.X`: { X: EventX }.
function family(prefix) {
  return Object.keys(defs).filter((key) => key.startsWith(prefix + ".")).map((key) => key.slice(prefix.length + 1));
}

const out = ["// Made by signaling/protocol/types.mjs from messages.schema.json. Not edited by hand."];
for (const key of Object.keys(defs)) {
  const text = typeOf(defs[key], "");
  if (defs[key].description) out.push(`/** ${defs[key].description} */`);
  out.push(text.startsWith("{\n") && defs[key].type === "object" ? `export interface ${nameOf(key)} ${text}` : `export type ${nameOf(key)} = ${text};`);
}
out.push("export interface Requests {");
for (const method of family("params"))
  out.push(`  ${property(method)}: { params: ${nameOf("params." + method)}; result: ${nameOf("result." + method)} };`);
out.push("}", "export interface EventData {", ...family("event").map((e) => `  ${property(e)}: ${nameOf("event." + e)};`));
out.push("}", "export interface NoticeData {", ...family("notice").map((n) => `  ${property(n)}: ${nameOf("notice." + n)};`), "}");
console.log(out.join("\n"));
