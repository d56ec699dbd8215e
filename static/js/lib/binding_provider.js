/**
 * Knockout bindings without `new Function`, so that the Content-Security-Policy can forbid eval.
 *
 * A data-bind attribute (or a `ko` comment) holds:
 *
 *     bindings = name ":" value { "," name ":" value }
 *     value    = "!" value | path | object | string | number | "true" | "false" | "null"
 *     object   = "{" [ key ":" value { "," key ":" value } ] "}"        key: a name or a string
 *     path     = name { "." name }
 *
 * There are no operators and no calls: what needs more is a computed of the view model. The first name of a path is a
 * property of the view model, else of the binding context ($index, $parent, an `as` name); an unknown one is an error.
 * Observables on the way are unwrapped and a missing one makes the result undefined, so `deploy.release` shows nothing
 * while there is no deploy. The last one is handed over as it is, because two-way bindings write to it; "!" unwraps it.
 */
const TOKEN = /\s*(?:([A-Za-z_$][\w$]*)|(-?\d+(?:\.\d+)?)|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([!:,.{}]))/y;
const CONSTANTS = { true: true, false: false, null: null };
const COMMENT = /^\s*ko(?:\s+([\s\S]+))?\s*$/;

/** What is wrong with a data-bind attribute. */
export class BindingSyntaxError extends Error {}

function tokensOf(text) {
  const tokens = [];
  const end = text.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw new BindingSyntaxError(`Cannot read "${text.slice(at)}" in data-bind="${text}"`);
    const [, name, number, single, double, sign] = match;
    const quoted = single ?? double;
    if (name !== undefined) tokens.push({ kind: "name", value: name });
    else if (number !== undefined) tokens.push({ kind: "number", value: Number(number) });
    else if (quoted !== undefined) tokens.push({ kind: "string", value: quoted.replace(/\\(.)/g, "$1") });
    else tokens.push({ kind: sign, value: sign });
  }
  return tokens;
}

/** A recursive-descent parser; each method reads one rule of the grammar. */
class Parser {
  constructor(text) {
    this.text = text;
    this.tokens = tokensOf(text);
    this.position = 0;
  }

  bindings() {
    const found = this.pairs();
    if (this.position < this.tokens.length) this.fail();
    return found;
  }

  pairs(closing) {
    const found = {};
    for (;;) {
      if (closing ? this.take(closing) : this.position === this.tokens.length) return found;
      const key = this.take("name") ?? this.take("string") ?? this.fail();
      this.take(":") ?? this.fail();
      found[key.value] = this.value();
      if (this.take(",")) continue;
      if (closing) this.take(closing) ?? this.fail();
      return found;
    }
  }

  value() {
    if (this.take("!")) return { not: this.value() };
    if (this.take("{")) return { object: this.pairs("}") };
    const constant = this.take("string") ?? this.take("number");
    if (constant) return { constant: constant.value };
    return this.path();
  }

  path() {
    const first = (this.take("name") ?? this.fail()).value;
    if (Object.hasOwn(CONSTANTS, first)) return { constant: CONSTANTS[first] };
    const names = [first];
    while (this.take(".")) names.push((this.take("name") ?? this.fail()).value);
    return { path: names };
  }

  take(kind) {
    const token = this.tokens[this.position];
    if (!token || token.kind !== kind) return undefined;
    this.position += 1;
    return token;
  }

  fail() {
    const token = this.tokens[this.position];
    throw new BindingSyntaxError(`Did not expect ${token ? `"${token.value}"` : "the end"} in data-bind="${this.text}"`);
  }
}

const parsed = new Map();

/** Return the bindings of an attribute's text as {name: expression}; throws BindingSyntaxError. */
export function parse(text) {
  if (!parsed.has(text)) parsed.set(text, new Parser(text).bindings());
  return parsed.get(text);
}

/** Knockout's interface of a binding provider; also reads `ko` comments. */
export class SafeBindingProvider {
  constructor(ko) {
    this.ko = ko;
  }

  nodeHasBindings(node) {
    return this.textOf(node) !== null;
  }

  getBindingAccessors(node, context) {
    const text = this.textOf(node);
    if (!text) return null;
    const bindings = parse(text);
    return Object.fromEntries(Object.entries(bindings).map(
      ([name, expression]) => [name, () => this.evaluate(expression, context)]));
  }

  textOf(node) {
    if (node.nodeType === Node.ELEMENT_NODE) return node.getAttribute("data-bind");
    if (node.nodeType === Node.COMMENT_NODE) return COMMENT.exec(node.nodeValue)?.[1] ?? null;
    return null;
  }

  evaluate(expression, context) {
    if ("constant" in expression) return expression.constant;
    if ("not" in expression) return !this.ko.unwrap(this.evaluate(expression.not, context));
    if ("object" in expression) {
      return Object.fromEntries(Object.entries(expression.object).map(
        ([key, value]) => [key, this.evaluate(value, context)]));
    }
    return this.follow(expression.path, context);
  }

  follow([first, ...rest], context) {
    let value = this.lookUp(first, context);
    for (const name of rest) value = this.ko.unwrap(value)?.[name];
    return value;
  }

  lookUp(name, context) {
    const data = context.$data;
    if (data !== null && typeof data === "object" && name in data) return data[name];
    if (name in context) return context[name];
    throw new ReferenceError(`data-bind names "${name}", which the view model does not have`);
  }
}
