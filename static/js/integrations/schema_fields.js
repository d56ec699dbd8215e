/** Inputs for what a driver's JSON schema asks for, and the JSON that their texts stand for. Pure functions. */

const LONG = new Set(["ca", "known_hosts", "ssh_key"]); // What is pasted in several lines.
const NUMBER = /^-?\d+$/;

/** Return the inputs of a JSON schema, the required ones first; their names begin with `prefix` and a dot. */
export function inputsOf(schema, prefix) {
  const required = new Set(schema?.required ?? []);
  const inputs = Object.entries(schema?.properties ?? {}).map(([name, property]) => {
    const type = typeOf(property);
    const options = choicesOf(property).map((value) => ({ value, label: value }));
    return {
      name: `${prefix}.${name}`, field: name, type, options, isRequired: required.has(name),
      label: labelOf(name), hint: hintOf(property, type, required.has(name)),
      isLong: LONG.has(name), isChoice: options.length > 0, isLine: !options.length && !LONG.has(name),
      initial: type === "array" ? "" : String(property.default ?? ""),
    };
  });
  return [...inputs.filter(({ isRequired }) => isRequired), ...inputs.filter(({ isRequired }) => !isRequired)];
}

/** Return {field: value} for inputs and {name: text}; what is left empty is left out. */
export function valuesOf(inputs, texts) {
  const pairs = inputs.map((input) => [input.field, valueOf(input, texts[input.name] ?? "")]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}

/** Return the text that an input shows for a value of the API. */
export function textOf(value) {
  if (value === null || value === undefined) return "";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

/** Return the words for a field's name: "pypi_repository" is "Pypi repository". */
export function labelOf(name) {
  const words = name.replace(/_s$/, "").replaceAll("_", " "); // Seconds: the description says so.
  return { ca: "Certificate authority", ssh_key: "SSH key" }[name] ?? words[0].toUpperCase() + words.slice(1);
}

function valueOf({ type, isLong }, text) {
  const trimmed = isLong ? text : text.trim();
  if (!trimmed.trim()) return undefined;
  if (type === "array") return trimmed.split(/[\s,]+/).filter(Boolean);
  if (type === "integer" && NUMBER.test(trimmed)) return Number(trimmed); // Anything else goes to the API, which says so.
  if (type === "boolean") return trimmed === "true";
  return trimmed;
}

function typeOf({ type, anyOf = [] }) {
  return type ?? anyOf.find((one) => one.type !== "null")?.type ?? "string";
}

function choicesOf({ enum: given, type, anyOf = [] }) {
  if (type === "boolean") return ["true", "false"];
  return given ?? anyOf.flatMap((one) => one.enum ?? []);
}

function hintOf({ description }, type, isRequired) {
  const parts = [!isRequired && "optional", description?.replace(/\.$/, ""), type === "array" && "several with commas between"];
  const hint = parts.filter(Boolean).join("; ");
  return hint ? `(${hint})` : "";
}
