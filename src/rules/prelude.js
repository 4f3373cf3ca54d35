// Runs once in each fresh context, before the rule: takes what it needs from the built-ins while nobody has touched them,
// and returns the function that sets the scene, calls the rule and hands back its outcome as JSON text.
(() => {
  'use strict';
  const { isArray } = Array;
  const { create, defineProperty, freeze, getPrototypeOf, keys, prototype: objectPrototype } = Object;
  const { stringify } = JSON;
  const { apply } = Reflect;
  const TypeError_ = TypeError, Proxy_ = Proxy, Set_ = Set, Promise_ = Promise, Date_ = Date, String_ = String;
  const finite = Number.isFinite;
  const { toWellFormed, slice } = String.prototype;
  const { toISOString } = Date.prototype;
  const { add } = Set.prototype;
  const MAX_LINES = 200, MAX_LINE = 2000, MAX_DEPTH = 64;

  const fail = (message) => { throw new TypeError_(message); };
  const text = (value, length) => apply(toWellFormed, apply(slice, String_(value), [0, length]), []);

  function deepFreeze(value) {
    if (typeof value === 'object' && value !== null) {
      const names = keys(value);
      for (let i = 0; i < names.length; i++) deepFreeze(value[names[i]]);
      freeze(value);
    }
    return value;
  }

  // What a rule leaves behind must be JSON; what JSON would drop or bend in silence is named instead.
  function plain(value, path, depth) {
    const type = typeof value;
    if (type === 'string' || type === 'boolean' || type === 'undefined' || value === null) return value;
    if (type === 'number') return finite(value) ? value : fail(`${path} is ${value}, which JSON cannot hold`);
    if (type !== 'object') fail(`${path} is a ${type}; only text, numbers, booleans, null, lists and plain objects can be kept`);
    if (depth > MAX_DEPTH) fail(`${path} is nested more than ${MAX_DEPTH} deep, or contains itself`);
    if (value instanceof Date_) return apply(toISOString, value, []);
    if (isArray(value)) {
      const list = [];
      for (let i = 0; i < value.length; i++) {
        const item = plain(value[i], `${path}[${i}]`, depth + 1);
        list[i] = item === undefined ? null : item;
      }
      return list;
    }
    if (value instanceof Promise_) fail(`${path} is a Promise; rules do not wait, calls answer at once`);
    const prototype = getPrototypeOf(value);
    if (prototype !== objectPrototype && prototype !== null) fail(`${path} is not a plain object; copy its contents instead`);
    const copy = create(null), names = keys(value);
    for (let i = 0; i < names.length; i++) {
      const item = plain(value[names[i]], `${path}.${names[i]}`, depth + 1);
      if (item !== undefined) copy[names[i]] = item;
    }
    return copy;
  }

  // `entityType` and `key` are not among the fields, so a loop over the fields does not meet them.
  function named(scene) {
    defineProperty(scene.fields, 'entityType', { value: scene.entityType, writable: true, configurable: true });
    defineProperty(scene.fields, 'key', { value: scene.key, writable: true, configurable: true });
    return scene.fields;
  }

  function readOnly(scene) {
    const refuse = (_, name) => fail(`entity is read-only here: entity.${String_(name)} cannot be changed`);
    const guard = { set: refuse, defineProperty: refuse, deleteProperty: refuse, setPrototypeOf: () => fail('entity is read-only here') };
    return new Proxy_(deepFreeze(named(scene)), guard);
  }

  function recorded(scene, outcome) {
    const target = named(scene), names = keys(target), assigned = new Set_();
    for (let i = 0; i < names.length; i++) deepFreeze(target[names[i]]);
    outcome.names = assigned;
    return new Proxy_(target, {
      set(_, name, value) {
        if (typeof name !== 'string') fail('a field of entity is named by text');
        if (name === 'key') fail('entity.key is given by the tracker and cannot be assigned');
        if (name === 'entityType') {
          if (typeof value !== 'string' || value === '') fail('entity.entityType must be the name of an entity type');
          outcome.entityType = text(value, MAX_LINE);
        } else {
          apply(add, assigned, [name]);
        }
        // Defined rather than assigned: a field may have the name of an inherited setter.
        defineProperty(target, name, { value, writable: true, configurable: true, enumerable: name !== 'entityType' });
        return true;
      },
      defineProperty: (_, name) => fail(`assign entity.${String_(name)} rather than define it`),
      deleteProperty: (_, name) => fail(`entity.${String_(name)} cannot be deleted; assign null to clear a field`),
      setPrototypeOf: () => fail('the prototype of entity cannot be changed'),
    });
  }

  function logger(lines) {
    const show = (value) => {
      if (typeof value !== 'object' || value === null) return String_(value);
      try { return stringify(value); } catch { return '[object]'; }
    };
    const at = (level) => (...values) => {
      if (lines.length > MAX_LINES) return;
      if (lines.length === MAX_LINES) { lines[MAX_LINES] = `warn: only the first ${MAX_LINES} lines were kept`; return; }
      let line = `${level}:`;
      for (let i = 0; i < values.length && line.length < MAX_LINE; i++) line += ` ${text(show(values[i]), MAX_LINE)}`;
      lines[lines.length] = text(line, MAX_LINE);
    };
    return freeze({ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') });
  }

  function incomingReplica(scene) {
    defineProperty(scene.replica, 'deleted', { value: scene.deleted });
    defineProperty(scene.replica, 'changed', { value: scene.changed });
    freeze(scene.changed);
    return deepFreeze(scene.replica);
  }

  return (make, scene) => {
    if (scene.direction === 'filter') return !!make(readOnly(scene));
    const outgoing = scene.direction === 'outgoing';
    const outcome = {}, lines = [], done = freeze({});
    const replica = outgoing ? {} : incomingReplica(scene);
    const entity = outgoing ? readOnly(scene) : recorded(scene, outcome);
    const skip = (reason) => {
      outcome.skip ??= reason === undefined ? '' : text(reason, MAX_LINE);
      throw done;
    };
    const { listed } = scene;
    const isListed = (field, value) => {
      const values = listed[field];
      if (!isArray(values)) return true;
      for (let i = 0; i < values.length; i++) if (values[i] === value) return true;
      return false;
    };
    const rule = make(
      entity, replica, deepFreeze(scene.previous), scene.firstSync, freeze(scene.connection),
      skip, logger(lines), freeze({ isListed }),
    );
    try {
      const returned = rule();
      if (returned instanceof Promise_) fail('the rule returned a Promise; rules do not wait, calls answer at once');
    } catch (error) {
      if (error !== done) throw error;
    }
    const result = create(null);
    result.log = lines;
    if (outcome.skip !== undefined) {
      result.skip = outcome.skip;
    } else if (outgoing) {
      result.replica = plain(replica, 'replica', 0);
    } else {
      const names = keys(entity), assigned = create(null);
      const { has } = Set_.prototype;
      for (let i = 0; i < names.length; i++) {
        if (!apply(has, outcome.names, [names[i]])) continue;
        const value = plain(entity[names[i]], `entity.${names[i]}`, 1);
        if (value !== undefined) assigned[names[i]] = value;
      }
      result.assigned = assigned;
      if (outcome.entityType !== undefined) result.entityType = outcome.entityType;
    }
    return stringify(result);
  };
})()
