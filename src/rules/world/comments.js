// Comments and files: the names that people know for their members, what came and went, and how they are merged.

// Known names beside the neutral ones. They do not show in loops and are not kept.
const commentNames = {
  remoteId: { get() { return this.remote_id; } },
  internal: { get() { return !this.public; }, set(value) { this.public = !value; } },
  created: { get() { return this.created_at; } },
  updated: { get() { return this.updated_at; } },
};
const fileNames = {
  remoteId: { get() { return this.remote_id; } },
  mimetype: { get() { return this.media_type; } },
  filesize: { get() { return this.size; } },
  created: { get() { return this.created_at; } },
};

function dress(one, names) {
  if (!isObject(one) || isArray(one)) return one;
  for (const name of keys(names)) if (!hasOwn(one, name)) defineProperty(one, name, { ...names[name], configurable: true });
  return one;
}

function dressed(list, names) {
  if (isArray(list)) for (let i = 0; i < list.length; i++) dress(list[i], names);
  return list;
}

function same(a, b) {
  if (!isObject(a) || !isObject(b)) return a === b || (a ?? null) === (b ?? null);
  // A member that is missing is null.
  return [...new Set([...keys(a), ...keys(b)])].every((name) => same(a[name], b[name]));
}

// A list that is missing says nothing; an empty one says that there is none.
function delta(now, before) {
  const none = { added: [], changed: [], removed: [] };
  if (!isArray(now)) return none;
  const known = new Map((isArray(before) ? before : []).filter(isObject).map((one) => [String(one.id), one]));
  const items = now.filter(isObject), ids = new Set(items.map((one) => String(one.id)));
  return {
    added: items.filter((one) => !known.has(String(one.id))),
    changed: items.filter((one) => known.has(String(one.id)) && !same(one, known.get(String(one.id)))),
    removed: [...known.values()].filter((one) => !ids.has(String(one.id))),
  };
}

// What differs from the last replica that was applied, worked out when somebody asks.
function showDeltas(replica, previous) {
  let comments, files;
  const ofComments = () => comments ??= deepFreeze(delta(replica.comments, previous?.comments));
  const ofFiles = () => files ??= deepFreeze(delta(replica.attachments, previous?.attachments));
  const show = (name, get) => { if (!hasOwn(replica, name)) defineProperty(replica, name, { get }); };
  show('addedComments', () => ofComments().added);
  show('changedComments', () => ofComments().changed);
  show('removedComments', () => ofComments().removed);
  show('addedAttachments', () => ofFiles().added);
  show('removedAttachments', () => ofFiles().removed);
  run.comments = ofComments;
  run.files = ofFiles;
}

// The copies that the rule lets through. It may change a copy, answer another object, or leave it out with false or null.
function letThrough(items, copy, fn, check) {
  const kept = [];
  for (const item of items) {
    const one = copy(item);
    const answer = fn === undefined ? one : fn(one, item);
    if (answer !== false && answer !== null) kept.push(check(isObject(answer) ? answer : one));
  }
  return kept;
}

function merged(kept, current) {
  const list = freeze([...(isArray(current) ? current : []), ...kept]);
  run.merged.add(list);
  return list;
}

const shown = (value) => value === undefined || value === null ? null : text(value);

function author(value) {
  if (typeof value === 'string') return { name: text(value), email: null };
  return isObject(value) ? { name: shown(value.name), email: shown(value.email) } : null;
}

function checkComment(one) {
  if (typeof one.body !== 'string') fail(`a comment's body must be text, not ${one.body === null ? 'null' : typeof one.body}`);
  const format = one.format ?? 'plain';
  if (!['plain', 'html', 'markdown'].includes(format)) fail(`a comment's format is plain, html or markdown, not ${text(format, 40)}`);
  return {
    id: null, remote_id: shown(one.remote_id), author: author(one.author), body: one.body.toWellFormed(), format,
    public: one.public === true, created_at: shown(one.created_at), updated_at: shown(one.updated_at),
  };
}

function checkFile(one) {
  if (typeof one.filename !== 'string' || one.filename === '') fail('a file needs a filename');
  return {
    id: null, remote_id: shown(one.remote_id), filename: text(one.filename, 255), media_type: shown(one.media_type),
    size: Number.isSafeInteger(one.size) && one.size >= 0 ? one.size : null, sha256: shown(one.sha256), url: shown(one.url),
    created_at: shown(one.created_at),
  };
}

function needsFunction(fn, what) {
  if (fn !== undefined && typeof fn !== 'function') fail(`${what} takes a function as its third argument, or none`);
}

const commentHelper = {
  mergeComments(entity, replica, fn) {
    incomingOnly('commentHelper.mergeComments');
    needsFunction(fn, 'commentHelper.mergeComments');
    const { added, changed, removed } = run.comments();
    // What arrives is written as an internal comment unless the rule says otherwise.
    const copy = (one) => dress({ ...one, id: null, remote_id: one.id, public: false, author: isObject(one.author) ? { ...one.author } : one.author }, commentNames);
    const kept = letThrough([...added, ...changed], copy, fn, checkComment);
    run.wishes.comments = [...kept.map((write) => ({ write })), ...removed.map((one) => ({ remove: text(one.id) }))];
    return merged(kept, entity?.comments);
  },
};

const attachmentHelper = {
  mergeAttachments(entity, replica, fn) {
    incomingOnly('attachmentHelper.mergeAttachments');
    needsFunction(fn, 'attachmentHelper.mergeAttachments');
    const { added, removed } = run.files();
    const copy = (one) => dress({ ...one, id: null, remote_id: one.id }, fileNames);
    const kept = letThrough(added, copy, fn, checkFile);
    run.wishes.attachments = [...kept.map((write) => ({ write })), ...removed.map((one) => ({ remove: text(one.id) }))];
    return merged(kept, entity?.attachments);
  },
};
