/** The words of a command as people type them: separated by spaces, quotes and backslashes keep a word together. Pure functions. */

/** Return the words of a text, or null where a quote is not closed; nothing is expanded or replaced. */
export function wordsOf(text) {
  const words = [];
  let word = null;
  let quote = "";
  for (let index = 0; index < text.length; index += 1) {
    const letter = text[index];
    if (letter === "\\" && quote !== "'" && index + 1 < text.length) {
      index += 1;
      word = (word ?? "") + text[index];
    } else if (quote) {
      if (letter === quote) quote = "";
      else word += letter;
    } else if (letter === '"' || letter === "'") {
      quote = letter;
      word ??= "";
    } else if (/\s/.test(letter)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? "") + letter;
    }
  }
  if (quote) return null;
  return word === null ? words : [...words, word];
}

/** Return words as one line from which wordsOf() makes them again. */
export function lineOf(words) {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`)).join(" ");
}
