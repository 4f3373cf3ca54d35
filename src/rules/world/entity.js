// The record of this side. `entityType` and `key` are not among its fields, so a loop over the fields does not meet them.
function record(scene) {
  beside(scene.fields, 'entityType', scene.entityType);
  beside(scene.fields, 'key', scene.key);
  return scene.fields;
}

function readOnly(scene) {
  const refuse = (_, name) => fail(`entity is read-only here: entity.${String(name)} cannot be changed`);
  const guard = { set: refuse, defineProperty: refuse, deleteProperty: refuse, setPrototypeOf: () => fail('entity is read-only here') };
  return new Proxy(deepFreeze(record(scene)), guard);
}

// Keeps the names that the rule assigns: an assignment counts even where the value is the current one.
function recorded(scene, outcome) {
  const target = record(scene), names = keys(target);
  for (let i = 0; i < names.length; i++) deepFreeze(target[names[i]]);
  return new Proxy(target, {
    set(_, name, value) {
      if (typeof name !== 'string') fail('a field of entity is named by text');
      if (name === 'key') fail('entity.key is given by the tracker and cannot be assigned');
      if (name === 'entityType') {
        if (typeof value !== 'string' || value === '') fail('entity.entityType must be the name of an entity type');
        outcome.entityType = text(value);
      } else {
        outcome.assigned.add(name);
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
