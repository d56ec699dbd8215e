/** Sign in with a token; it is exchanged for a session cookie that no script can read. */
import { change, get } from "../api/client.js";
import "../lib/bindings.js";
import ko from "../lib/ko.js";
import { Form } from "../widgets/form.js";

/** Where to go afterwards: only to a path of this server, never to another one (//host and /\host name others). */
function destination() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  return /^\/(?![/\\])/.test(wanted) ? wanted : "/";
}

async function signIn({ token }) {
  const cleaned = token.trim();
  await change("POST", ["session"], { token: cleaned });
  return get(["me"]);
}

const page = {
  wasSentHere: new URLSearchParams(location.search).has("next"),
  form: new Form({ initial: { token: "" }, submit: signIn, done: () => location.replace(destination()) }),
};
ko.applyBindings(page, document.getElementById("main"));
