/** The page for unknown addresses: nothing but the frame around it. */
import { get } from "../api/client.js";
import { Live } from "../api/live.js";
import { start } from "../widgets/shell.js";

start((shell) => {
  shell.follow(new Live({ load: () => get(["me"]), hints: false }).start());
  return {};
});
