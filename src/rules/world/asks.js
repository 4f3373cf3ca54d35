// What a rule asks while it runs. Each ask leaves the engine and comes back with an answer; how many, how large and how long
// is the pool's to watch.

// A refusal is an error that the rule may catch: `error.code` is the tracker's own word.
function refused({ code, message }) {
  const error = new Error(message);
  defineProperty(error, 'name', { value: 'Refused', writable: true, configurable: true });
  defineProperty(error, 'code', { value: code, writable: true, configurable: true, enumerable: true });
  return error;
}

function ask(what) {
  // After `skip` nothing happens any more, whoever catches it.
  if (run.skip !== undefined) throw done;
  if (run.over) fail('the rule has ended: what it left cannot ask');
  const told = stringify(what);
  if (told.length > limits.asked) fail(`an ask has ${told.length} letters; at most ${limits.asked} can leave`);
  const reply = parse(native.ask(told));
  if (reply.ended) { run.ended = true; throw done; }
  if (reply.refused !== undefined) throw refused(reply.refused);
  return reply.answer;
}

function pathOf(path, query) {
  if (typeof path !== 'string' || path === '') fail('httpClient: the path must be text, like /services/data/v62.0/query');
  if (query === undefined || query === null) return path;
  if (!isObject(query) || isArray(query)) fail('httpClient: the query must be an object of names and values');
  const names = keys(query);
  let whole = path;
  for (let i = 0; i < names.length; i++) {
    const mark = whole.includes('?') ? '&' : '?';
    whole += `${mark}${encodeURIComponent(names[i])}=${encodeURIComponent(String(query[names[i]]).toWellFormed())}`;
  }
  return whole;
}

// People write JSON text or what becomes it.
function bodyOf(body) {
  if (body === undefined || body === null) return null;
  if (typeof body !== 'string') return plain(body, 'the body', 1);
  try { return parse(body); } catch { return fail('httpClient: the body is text that is no JSON; give an object'); }
}

const request = (method, path, body) => ask({ what: 'request', method, path, body });
const httpClient = {
  get: (path, query) => request('GET', pathOf(path, query), null),
  post: (path, body) => request('POST', pathOf(path), bodyOf(body)),
  put: (path, body) => request('PUT', pathOf(path), bodyOf(body)),
  patch: (path, body) => request('PATCH', pathOf(path), bodyOf(body)),
  delete: (path) => request('DELETE', pathOf(path), null),
};

nodeHelper.getUserByEmail = (email) => {
  if (email === undefined || email === null || email === '') return null;
  const asked = named(email, 'nodeHelper.getUserByEmail: the address').trim(), known = asked.toLowerCase();
  if (!run.users.has(known)) run.users.set(known, deepFreeze(ask({ what: 'user', email: asked })));
  return run.users.get(known);
};

nodeHelper.getLocalIssueKeyFromRemoteId = (key, entityType) => {
  if (key === undefined || key === null || key === '') return null;
  const type = entityType === undefined || entityType === null ? null : named(entityType, 'the entity type');
  return ask({ what: 'twin', key: named(String(key), 'the key'), entity_type: type });
};
syncHelper.getLocalIssueKeyFromRemoteId = nodeHelper.getLocalIssueKeyFromRemoteId;

// The record as it is so far is written before the rule goes on.
function store(entity) {
  incomingOnly('store');
  if (entity !== run.entity) fail('store(entity) stores the record of this rule: give it `entity`');
  const { key } = ask({ what: 'store', entity_type: run.entityType ?? null, assigned: assigned(entity) });
  if (typeof key === 'string') run.give(key);
  return entity;
}

const quoted = { "'": "\\'", '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\b': '\\b', '\f': '\\f' };
function literal(value) {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : fail(`soql: ${value} is no number for a query`);
  if (value instanceof Date) return apply(toISOString, value, []);
  if (isArray(value)) {
    if (value.length === 0) fail('soql: a list must have a value: `IN ()` is no query');
    let list = '';
    for (let i = 0; i < value.length; i++) list += (i === 0 ? '' : ',') + (isArray(value[i]) ? fail('soql: a list within a list') : literal(value[i]));
    return `(${list})`;
  }
  if (isObject(value) || typeof value !== 'string') fail(`soql: a ${typeof value} cannot be a value in a query`);
  return `'${value.toWellFormed().replace(/['"\\\n\r\t\b\f]/g, (one) => quoted[one] ?? one)}'`;
}

// soql`… WHERE Name = ${name}` as people write templates, and soql(value) for one value.
function soql(first, ...values) {
  if (!isArray(first) || !isArray(first.raw)) return literal(first);
  let whole = first[0];
  for (let i = 0; i < values.length; i++) whole += literal(values[i]) + first[i + 1];
  return whole;
}
