/**
 * The bindings of Knockout that the dashboard adds:
 *
 *     ago: time            "3 min ago" from an RFC 3339 time, kept up to date, the absolute time as title
 *     state: name          a state as shape, word and colour
 *     length: {from, to}   the length of a time span; without `to` it is running and counts up
 *     field: form          a form's input, by its `name` attribute: value, error message beside it, ARIA
 *     dialog: isOpen       a <dialog> that is shown modally while the observable is true
 */
import { now } from "./clock.js";
import { absolute, ago, duration } from "./formats.js";
import ko from "./ko.js";
import { look } from "./states.js";

/** Set text only when it differs, so that a ticking clock does not touch the page for nothing. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

ko.bindingHandlers.ago = {
  update(element, valueAccessor) {
    const value = ko.unwrap(valueAccessor());
    const time = Date.parse(value ?? "");
    if (Number.isNaN(time)) {
      setText(element, "");
      element.removeAttribute("title");
      return;
    }
    setText(element, ago(time, now()));
    element.title = absolute(time);
    if (element instanceof HTMLTimeElement) element.dateTime = value;
  },
};

ko.bindingHandlers.length = {
  update(element, valueAccessor) {
    const { from, to } = valueAccessor();
    const begin = Date.parse(ko.unwrap(from) ?? "");
    if (Number.isNaN(begin)) return setText(element, "");
    const end = Date.parse(ko.unwrap(to) ?? "");
    return setText(element, duration((Number.isNaN(end) ? now() : end) - begin));
  },
};

ko.bindingHandlers.state = {
  init(element) {
    const shape = document.createElement("span");
    shape.className = "state-shape";
    shape.setAttribute("aria-hidden", "true");
    const word = document.createElement("span");
    word.className = "state-word";
    element.replaceChildren(shape, word);
    element.classList.add("state");
    return { controlsDescendantBindings: true };
  },
  update(element, valueAccessor) {
    const state = ko.unwrap(valueAccessor());
    const { kind, shape, word } = look(state ?? "unknown");
    element.dataset.kind = kind;
    element.dataset.state = state ?? "";
    setText(element.firstChild, shape);
    setText(element.lastChild, word);
  },
};

let fields = 0;

ko.bindingHandlers.field = {
  init(input, valueAccessor) {
    const form = valueAccessor();
    const name = input.name;
    const message = messageBeside(input);
    const binding = input.type === "checkbox" ? "checked" : input.tagName === "SELECT" ? "value" : "textInput";
    ko.applyBindingAccessorsToNode(input, {
      [binding]: () => form.values[name],
      ...(input.tagName === "SELECT" ? { valueAllowUnset: () => true } : {}),
    });
    ko.computed(() => {
      const text = form.errorOf(name);
      setText(message, text);
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }, null, { disposeWhenNodeIsRemoved: input });
  },
};

/** Put an empty place for the error message behind an input and tie both together for screen readers. */
function messageBeside(input) {
  fields += 1;
  const message = document.createElement("small");
  message.className = "field-error";
  message.id = `field-error-${fields}`;
  const described = input.getAttribute("aria-describedby");
  input.setAttribute("aria-describedby", described ? `${described} ${message.id}` : message.id);
  input.after(message);
  return message;
}

ko.bindingHandlers.dialog = {
  init(dialog, valueAccessor) {
    const isOpen = valueAccessor();
    dialog.addEventListener("close", () => isOpen(false));
  },
  update(dialog, valueAccessor) {
    const isWanted = ko.unwrap(valueAccessor());
    if (isWanted && !dialog.open) dialog.showModal();
    if (!isWanted && dialog.open) dialog.close();
  },
};
