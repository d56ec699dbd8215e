/** Knockout, loaded as a classic script before the modules, with the binding provider that needs no eval. */
import { SafeBindingProvider } from "./binding_provider.js";

const ko = window.ko;
ko.bindingProvider.instance = new SafeBindingProvider(ko);
// A burst of changes (a thousand log lines, a new status) updates the page once, after the last of them.
ko.options.deferUpdates = true;

export default ko;
