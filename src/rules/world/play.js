// Sets the scene, calls the rule and hands back its outcome as JSON text.

// What describe tells is the same in most runs and much larger than a record: it arrives as text and is read when asked.
let known = { told: '', facts: {}, names: new Map() };
function knowledge() {
  if (known.told !== run.told) known = { told: run.told, facts: deepFreeze(parse(run.told)), names: new Map() };
  return known;
}

function facts() { return knowledge().facts; }

// The names of a type's fields; undefined where the tracker does not tell them.
function fieldNames(type) {
  const { facts, names } = knowledge();
  const list = hasOwn(facts.described ?? {}, type) ? facts.described[type] : undefined;
  if (list !== undefined && !names.has(type)) names.set(type, new Set(list));
  return names.get(type);
}

function incomingReplica(scene) {
  const { replica, previous } = scene;
  defineProperty(replica, 'deleted', { value: scene.deleted });
  defineProperty(replica, 'changed', { value: freeze(scene.changed) });
  for (const one of [replica, previous]) {
    dressed(one?.comments, commentNames);
    dressed(one?.attachments, fileNames);
  }
  showDeltas(replica, previous);
  return deepFreeze(replica);
}

// `replica.changed` tells what differs from the last replica sent, of what the rule has written so far.
function outgoingReplica(previous) {
  const get = () => keys(replica).filter((name) => !same(plain(replica[name], name, 1), previous?.[name]));
  const set = (value) => { defineProperty(replica, 'changed', { value, writable: true, enumerable: true, configurable: true }); };
  const replica = defineProperty({}, 'changed', { get, set, configurable: true });
  return replica;
}

function call(make, entity, replica, scene) {
  const rule = make(
    entity, replica, deepFreeze(scene.previous), scene.firstSync, freeze(scene.connection),
    skip, log, nodeHelper, commentHelper, attachmentHelper, syncHelper, httpClient, store, soql,
  );
  try {
    if (rule() instanceof Promise) fail('the rule returned a Promise; rules do not wait, calls answer at once');
  } catch (error) {
    if (error !== done) throw error;
  }
  run.over = true;
}

// What the rule assigned so far.
function assigned(entity) {
  const names = keys(entity), values = create(null);
  for (let i = 0; i < names.length; i++) {
    if (!run.assigned.has(names[i])) continue;
    const value = plain(entity[names[i]], `entity.${names[i]}`, 1);
    if (value !== undefined) values[names[i]] = value;
  }
  return values;
}

function outcome(entity, replica) {
  const result = create(null);
  result.log = run.lines;
  if (run.ended) return result;
  if (run.skip !== undefined) {
    result.skip = run.skip;
    return result;
  }
  result.wishes = run.wishes;
  if (run.outgoing) {
    result.replica = plain(replica, 'replica', 0);
  } else {
    result.assigned = assigned(entity);
    if (run.entityType !== undefined) result.entityType = run.entityType;
  }
  return result;
}

function play(make, scene, told, now, seed) {
  const outgoing = scene.direction === 'outgoing';
  run = {
    told, outgoing, firstSync: scene.firstSync, lines: [], assigned: new Set(), merged: new Set(), wishes: create(null),
    entityType: undefined, skip: undefined, now, seed, users: new Map(), over: false, ended: false, entity: undefined, give: undefined,
  };
  if (scene.direction === 'filter') return !!make(readOnly(scene));
  const replica = outgoing ? outgoingReplica(scene.previous) : incomingReplica(scene);
  const entity = outgoing ? readOnly(scene) : recorded(scene);
  run.entity = entity;
  call(make, entity, replica, scene);
  return stringify(outcome(entity, replica));
}
