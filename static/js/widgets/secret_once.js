/** A secret that an answer shows once: beside it a button that copies it; forgotten when its dialog closes. */
import ko from "../lib/ko.js";

export class SecretOnce {
  /** isOpen: the observable of the dialog that shows it. */
  constructor(isOpen) {
    this.text = ko.observable("");
    this.copied = ko.observable("");
    this.isShown = ko.pureComputed(() => Boolean(this.text()));
    this.canCopy = Boolean(navigator.clipboard); // Browsers have it on https and on this machine only.
    this.copy = () => this.toClipboard();
    isOpen.subscribe((isNow) => isNow || this.forget());
  }

  show(secret) {
    this.copied("");
    this.text(secret);
  }

  forget() {
    this.text("");
    this.copied("");
  }

  async toClipboard() {
    try {
      await navigator.clipboard.writeText(this.text());
      this.copied("Copied.");
    } catch {
      this.copied("The browser does not allow it: select the secret and copy it.");
    }
  }
}
