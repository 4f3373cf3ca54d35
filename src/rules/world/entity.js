// The record of this side. What is no field of it (its type, its key, its comments) does not show in loops over the fields.
// Where a record has a field of such a name, the field is what the rule sees; type and key go before any field.
function record(scene) {
  const { fields } = scene;
  beside(fields, 'entityType', scene.entityType);
  beside(fields, 'key', scene.key);
  const others = { comments: dressed(scene.comments, commentNames), attachments: dressed(scene.attachments, fileNames) };
  if (run?.outgoing) others.changed = scene.changed;
  for (const name of keys(others)) if (!hasOwn(fields, name)) beside(fields, name, deepFreeze(others[name]));
  return fields;
}

// What the language itself asks any object for.
const asked = ['toJSON', 'then'];

// Refuses the name of a field that the tracker does not have, where it tells which it has.
function checkName(target, name, verb) {
  const names = fieldNames(target.entityType);
  if (names === undefined || names.has(name) || asked.includes(name)) return;
  const near = native.nearest(name, [...names]);
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  fail(`entity.${name} cannot be ${verb}: ${target.entityType} has no field of this name${hint}`);
}

const reading = {
  get(target, name) {
    if (typeof name === 'string' && !(name in target)) checkName(target, name, 'read');
    return target[name];
  },
  has: (target, name) => name in target || !!fieldNames(target.entityType)?.has(name),
};

function readOnly(scene) {
  const refuse = (_, name) => fail(`entity is read-only here: entity.${String(name)} cannot be changed`);
  const guard = { set: refuse, defineProperty: refuse, deleteProperty: refuse, setPrototypeOf: () => fail('entity is read-only here') };
  return new Proxy(deepFreeze(record(scene)), scene.checked ? { ...guard, ...reading } : guard);
}

// Comments and files are changed through their helpers, whose lists may be assigned as people are used to.
function assignMerged(target, name, value) {
  if (!run.merged.has(value)) {
    const helper = name === 'comments' ? 'commentHelper.mergeComments' : 'attachmentHelper.mergeAttachments';
    fail(`entity.${name} is changed by ${helper}(entity, replica)`);
  }
  beside(target, name, value);
  return true;
}

// Keeps the names that the rule assigns: an assignment counts even where the value is the current one.
function recorded(scene) {
  const target = record(scene), names = keys(target);
  for (let i = 0; i < names.length; i++) deepFreeze(target[names[i]]);
  run.give = (key) => beside(target, 'key', key);
  const apart = ['comments', 'attachments'].filter((name) => !names.includes(name));
  return new Proxy(target, {
    ...(scene.checked ? reading : {}),
    set(_, name, value) {
      if (typeof name !== 'string') fail('a field of entity is named by text');
      if (name === 'key') fail('entity.key is given by the tracker and cannot be assigned');
      if (apart.includes(name)) return assignMerged(target, name, value);
      if (name === 'entityType') {
        if (typeof value !== 'string' || value === '') fail('entity.entityType must be the name of an entity type');
        run.entityType = text(value);
      } else {
        if (scene.checked && !hasOwn(target, name)) checkName(target, name, 'assigned');
        run.assigned.add(name);
      }
      // Defined rather than assigned: a field may have the name of an inherited setter.
      defineProperty(target, name, { value, writable: true, configurable: true, enumerable: name !== 'entityType' });
      return true;
    },
    defineProperty: (_, name) => fail(`assign entity.${String(name)} rather than define it`),
    deleteProperty: (_, name) => fail(`entity.${String(name)} cannot be deleted; assign null to clear a field`),
    setPrototypeOf: () => fail('the prototype of entity cannot be changed'),
  });
}
