// The prelude: runs once in each engine, before any rule. Its parts share one scope, in the order that `realm.rs` gives
// them. They may use the language's own objects freely: the last part freezes those before the first rule runs. What a
// rule hands over is another matter: its lists and dates can carry methods of their own.
const { isArray } = Array;
const { create, defineProperty, freeze, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, keys, prototype: objectPrototype } = Object;
const { apply, ownKeys } = Reflect;
const { parse, stringify } = JSON;
const { toISOString } = Date.prototype;

const fail = (message) => { throw new TypeError(message); };
const text = (value, length = limits.line) => String(value).slice(0, length).toWellFormed();
const isObject = (value) => typeof value === 'object' && value !== null;

function deepFreeze(value) {
  if (isObject(value)) {
    const names = keys(value);
    for (let i = 0; i < names.length; i++) deepFreeze(value[names[i]]);
    freeze(value);
  }
  return value;
}

// What a rule leaves behind must be JSON; what JSON would drop or bend in silence is named instead.
function plain(value, path, depth) {
  const type = typeof value;
  if (type === 'string') return value.isWellFormed() ? value : fail(`${path} holds half a character: a text was cut within one`);
  if (type === 'boolean' || type === 'undefined' || value === null) return value;
  if (type === 'number') return Number.isFinite(value) ? value : fail(`${path} is ${value}, which JSON cannot hold`);
  if (type !== 'object') fail(`${path} is a ${type}; only text, numbers, booleans, null, lists and plain objects can be kept`);
  if (depth > limits.nesting) fail(`${path} is nested more than ${limits.nesting} deep, or contains itself`);
  if (value instanceof Date) return apply(toISOString, value, []);
  if (isArray(value)) {
    const list = [];
    for (let i = 0; i < value.length; i++) {
      const item = plain(value[i], `${path}[${i}]`, depth + 1);
      list[i] = item === undefined ? null : item;
    }
    return list;
  }
  if (value instanceof Promise) fail(`${path} is a Promise; rules do not wait, calls answer at once`);
  const prototype = getPrototypeOf(value);
  if (prototype !== objectPrototype && prototype !== null) fail(`${path} is not a plain object; copy its contents instead`);
  const copy = create(null), names = keys(value);
  for (let i = 0; i < names.length; i++) {
    const item = plain(value[names[i]], `${path}.${names[i]}`, depth + 1);
    if (item !== undefined) copy[names[i]] = item;
  }
  return copy;
}

// Defined, not assigned, and out of sight of loops over the fields.
const beside = (object, name, value) => defineProperty(object, name, { value, writable: true, configurable: true });
