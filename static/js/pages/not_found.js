/** The page for unknown addresses: nothing but the frame around it. */
import { start } from "../shell.js";
import { Live } from "../live.js";
import { get } from "../api.js";

start((shell) => {
  shell.follow(new Live({ load: () => get(["me"]), hints: false }).start());
  return {};
});
