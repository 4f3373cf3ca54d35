// The last part of the prelude: freezes everything that every script of this engine can reach, so that a run can leave
// nothing for the next. What the engine keeps beside its objects goes first: two settings of Error are accessors whose
// values live in the engine itself, and freezing does not reach those.
const hidden = () => [
  getPrototypeOf(function* () {}), getPrototypeOf(async () => {}), getPrototypeOf(async function* () {}),
  getPrototypeOf([].values()), getPrototypeOf(''[Symbol.iterator]()), getPrototypeOf(new Map().values()),
  getPrototypeOf(new Set().values()), getPrototypeOf(''.matchAll(/a/g)), getPrototypeOf([].values().map((one) => one)),
  getPrototypeOf(Iterator.from({ next() {} })), getPrototypeOf(Iterator.concat([])),
  getOwnPropertyDescriptor((function () { return arguments; })(), 'callee').get,
];

// Assigning `error.name` or `map.toString` makes a property of one's own; with a frozen prototype it would throw.
function assignable(holder, names) {
  for (let i = 0; i < names.length; i++) {
    const name = names[i], found = getOwnPropertyDescriptor(holder, name);
    if (found === undefined || !('value' in found)) continue;
    const { value } = found;
    const set = function (own) {
      if (this === holder) fail(`${name} belongs to the language and cannot be changed`);
      defineProperty(this, name, { value: own, writable: true, enumerable: true, configurable: true });
    };
    defineProperty(holder, name, { get: () => value, set, enumerable: false, configurable: true });
  }
}

function harden(roots) {
  delete Error.prepareStackTrace;
  delete Error.stackTraceLimit;
  assignable(objectPrototype, ['constructor', 'toString', 'toLocaleString', 'valueOf', 'hasOwnProperty', 'isPrototypeOf', 'propertyIsEnumerable']);
  assignable(Function.prototype, ['constructor', 'toString']);
  const errors = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, InternalError, AggregateError];
  for (let i = 0; i < errors.length; i++) assignable(errors[i].prototype, ['constructor', 'name', 'message', 'toString']);

  const seen = new Set(), open = [globalThis, ...hidden(), ...roots];
  const meet = (value) => {
    if ((typeof value === 'object' && value !== null || typeof value === 'function') && !seen.has(value)) {
      seen.add(value);
      open.push(value);
    }
  };
  while (open.length > 0) {
    const one = open.pop();
    meet(getPrototypeOf(one));
    const names = ownKeys(one);
    // Most of what there is are functions that lead nowhere.
    if (typeof one === 'function' && names.length === 2 && names[0] === 'length' && names[1] === 'name') { freeze(one); continue; }
    for (let i = 0; i < names.length; i++) {
      const found = getOwnPropertyDescriptor(one, names[i]);
      meet(found.value);
      meet(found.get);
      meet(found.set);
    }
    freeze(one);
  }
}

harden([skip, log, nodeHelper, commentHelper, attachmentHelper, syncHelper, httpClient, store, soql]);
return play;
