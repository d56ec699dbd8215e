/** Lists of view models that stay the same objects while their data changes, so that focus and scrolling survive. */

/**
 * Make `models` (an observableArray) show `items`, in their order: a model whose key is still there gets `update(item)`,
 * a new item a model from make(item). A list that is the same in number and order is not touched.
 */
export function updateKeyed(models, items, keyOf, make) {
  const known = new Map(models.peek().map((model) => [model.key, model]));
  const wanted = items.map((item) => {
    const key = keyOf(item);
    const model = known.get(key) ?? Object.assign(make(item), { key });
    model.update(item);
    return model;
  });
  const isSame = wanted.length === models.peek().length && wanted.every((model, index) => model === models.peek()[index]);
  if (!isSame) models(wanted);
}

/** Set an observable to a plain value only when it says something else than before. */
export function setIfDifferent(observable, value) {
  if (JSON.stringify(observable.peek()) !== JSON.stringify(value)) observable(value);
}
