/**
 * A scrolled list that draws only the rows in sight, so that a hundred thousand lines cost as much as fifty.
 *
 * All rows have one height, that of the CSS variable --row on the list. Rows in sight stay the same elements while they
 * are in sight, so text can be selected. While `follow` is true the end is kept in sight; scrolling up sets it to false,
 * scrolling back to the end to true.
 */
import ko from "../lib/ko.js";

const BEYOND = 10; // rows drawn above and below what is in sight

export class VirtualList {
  /** viewport: the scrolling element. draw(index): returns a new element for a row. */
  constructor(viewport, draw) {
    this.viewport = viewport;
    this.draw = draw;
    this.follow = ko.observable(true);
    this.count = 0;
    this.drawn = new Map();
    this.top = 0;
    this.content = document.createElement("div");
    this.content.className = "rows";
    viewport.append(this.content);
    viewport.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.soon()).observe(viewport);
    this.follow.subscribe((isFollowing) => isFollowing && this.soon());
  }

  get rowHeight() {
    return Number.parseFloat(getComputedStyle(this.content).getPropertyValue("line-height")) || 20;
  }

  /** Show so many rows; `columns` is the length of the longest one in characters. */
  resize(count, columns) {
    this.count = count;
    this.columns = columns;
    this.soon();
  }

  /** Draw everything anew because other rows are meant. */
  reset() {
    for (const row of this.drawn.values()) row.remove();
    this.drawn.clear();
    this.soon();
  }

  /** Draw at the next frame, however often this is called before it. */
  soon() {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      this.render();
    });
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.viewport;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < this.rowHeight;
    // Rows that arrive move the end away without any scrolling, so only an upward move means "let me read".
    if (isAtEnd) this.follow(true);
    else if (scrollTop < this.top) this.follow(false);
    this.top = scrollTop;
    this.soon();
  }

  render() {
    const height = this.rowHeight;
    this.content.style.height = `${this.count * height}px`;
    this.content.style.minWidth = `calc(${this.columns ?? 0}ch + var(--gutter))`;
    if (this.follow.peek()) this.viewport.scrollTop = this.viewport.scrollHeight;
    this.top = this.viewport.scrollTop;
    const first = Math.max(0, Math.floor(this.top / height) - BEYOND);
    const last = Math.min(this.count, Math.ceil((this.top + this.viewport.clientHeight) / height) + BEYOND);
    for (const [index, row] of this.drawn) {
      if (index >= first && index < last) continue;
      row.remove();
      this.drawn.delete(index);
    }
    this.drawMissing(first, last, height);
  }

  /** Rows are kept in their order, so that copying and screen readers get them so. */
  drawMissing(first, last, height) {
    let before = null;
    for (let index = last - 1; index >= first; index -= 1) {
      let row = this.drawn.get(index);
      if (!row) {
        row = this.draw(index);
        row.style.top = `${index * height}px`;
        this.content.insertBefore(row, before);
        this.drawn.set(index, row);
      }
      before = row;
    }
  }
}
