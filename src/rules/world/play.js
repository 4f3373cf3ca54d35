// Sets the scene, calls the rule and hands back its outcome as JSON text.

// What describe tells is the same in most runs and much larger than a record: it arrives as text and is read when asked.
let known = { told: '', facts: {} };
function facts() {
  if (known.told !== run.told) known = { told: run.told, facts: deepFreeze(parse(run.told)) };
  return known.facts;
}

function incomingReplica(scene) {
  defineProperty(scene.replica, 'deleted', { value: scene.deleted });
  defineProperty(scene.replica, 'changed', { value: scene.changed });
  freeze(scene.changed);
  return deepFreeze(scene.replica);
}

function call(make, entity, replica, scene) {
  const rule = make(
    entity, replica, deepFreeze(scene.previous), scene.firstSync, freeze(scene.connection),
    skip, log, nodeHelper,
  );
  try {
    if (rule() instanceof Promise) fail('the rule returned a Promise; rules do not wait, calls answer at once');
  } catch (error) {
    if (error !== done) throw error;
  }
}

function assigned(entity) {
  const names = keys(entity), values = create(null);
  for (let i = 0; i < names.length; i++) {
    if (!run.assigned.has(names[i])) continue;
    const value = plain(entity[names[i]], `entity.${names[i]}`, 1);
    if (value !== undefined) values[names[i]] = value;
  }
  return values;
}

function play(make, scene, told) {
  if (scene.direction === 'filter') return !!make(readOnly(scene));
  const outgoing = scene.direction === 'outgoing';
  run = { told, outgoing, lines: [], assigned: new Set(), entityType: undefined, skip: undefined };
  const replica = outgoing ? {} : incomingReplica(scene);
  const entity = outgoing ? readOnly(scene) : recorded(scene, run);
  call(make, entity, replica, scene);
  const result = create(null);
  result.log = run.lines;
  if (run.skip !== undefined) {
    result.skip = run.skip;
  } else if (outgoing) {
    result.replica = plain(replica, 'replica', 0);
  } else {
    result.assigned = assigned(entity);
    if (run.entityType !== undefined) result.entityType = run.entityType;
  }
  return stringify(result);
}
