// What a rule calls. Made once for an engine; `run` is the run that is under way.
const done = freeze({});

const skip = (reason) => {
  run.skip ??= reason === undefined ? '' : text(reason);
  throw done;
};

function incomingOnly(what) {
  if (run.outgoing) fail(`${what} belongs in the incoming rule`);
}

const log = (() => {
  const show = (value) => {
    if (!isObject(value)) return String(value);
    try { return stringify(value); } catch { return '[object]'; }
  };
  const at = (level) => (...values) => {
    const { lines } = run;
    if (lines.length > limits.lines) return;
    if (lines.length === limits.lines) { lines.push(`warn: only the first ${limits.lines} lines were kept`); return; }
    let line = `${level}:`;
    for (let i = 0; i < values.length && line.length < limits.line; i++) line += ` ${text(show(values[i]))}`;
    lines.push(text(line));
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
})();

const named = (value, what) => typeof value === 'string' && value !== '' ? text(value) : fail(`${what} must be text`);

const syncHelper = {
  linkTo(key) {
    incomingOnly('syncHelper.linkTo');
    if (!run.firstSync) fail('syncHelper.linkTo is for the first sync: this record has its twin already; ask `if (firstSync)` before');
    run.wishes.linkTo = named(key, 'syncHelper.linkTo: the key');
  },
  sync(entityType, key) {
    run.wishes.sync ??= [];
    if (run.wishes.sync.length >= limits.syncs) fail(`one run starts the sync of ${limits.syncs} records at most`);
    const wish = { entityType: named(entityType, 'syncHelper.sync: the entity type'), key: named(key, 'syncHelper.sync: the key') };
    if (!run.wishes.sync.some((one) => same(one, wish))) run.wishes.sync.push(wish);
  },
  syncBackAfterProcessing() {
    incomingOnly('syncHelper.syncBackAfterProcessing');
    run.wishes.syncBack = true;
  },
  stopAfterProcessing() { run.wishes.stop = true; },
  unExalateAfterProcessing() { run.wishes.stop = true; },
};

// ISO 8601 with and without seconds, with a zone in any of its notations, or without one.
const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?(Z|[+-]\d\d(?::?\d\d)?))?)?$/i;

function fromIso(value) {
  const found = ISO.exec(value.trim());
  if (found === null) return NaN;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = found;
  const millis = Number(fraction.padEnd(3, '0').slice(0, 3));
  const time = Date.UTC(0, Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second), millis);
  // A year below 100 would count from 1900.
  const date = new Date(time);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  const real = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day) && Number(hour) < 24
    && Number(minute) < 60 && Number(second) < 60;
  if (!real) return NaN;
  if (zone.toUpperCase() === 'Z') return date.getTime();
  const [, sign, hours, minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone);
  return date.getTime() - (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
}

const CUT_MARK = native.cutMark;

const nodeHelper = {
  isListed(field, value) {
    const values = facts().listed?.[field];
    return !isArray(values) || values.includes(value);
  },
  toDate(value) {
    if (value === null || value === undefined || value === '') return null;
    let time = NaN;
    if (value instanceof Date) time = apply(Date.prototype.getTime, value, []);
    else if (typeof value === 'number') time = value;
    else if (typeof value === 'string') time = /^-?\d{9,15}$/.test(value) ? Number(value) : fromIso(value);
    const date = new Date(time);
    if (Number.isNaN(date.getTime())) {
      const kind = typeof value === 'string' ? `"${text(value, 60)}"` : isObject(value) ? 'an object' : String(value);
      fail(`nodeHelper.toDate: ${kind} is no date that it knows; give 2026-12-31, 2026-12-31T10:00:00Z or milliseconds since 1970`);
    }
    return date;
  },
  fit(value, length, mark = CUT_MARK) {
    if (value === null || value === undefined) return value;
    if (!Number.isSafeInteger(length) || length < 1) fail('nodeHelper.fit: the length is a whole number from 1');
    const whole = String(value).toWellFormed();
    if (whole.length <= length) return whole;
    const letters = [...whole], end = [...String(mark)].slice(0, length);
    return letters.length <= length ? whole : letters.slice(0, length - end.length).join('') + end.join('');
  },
  stripHtml: (value) => nodeHelper.htmlToPlain(value),
};

// htmlToMarkdown, wikiToPlain and so on, from each notation to each other.
const notations = { html: 'Html', markdown: 'Markdown', plain: 'Plain', textile: 'Textile', wiki: 'Wiki' };
for (const from of keys(notations)) {
  for (const to of keys(notations)) {
    if (from === to) continue;
    nodeHelper[`${from}To${notations[to]}`] = (value) => {
      return value === null || value === undefined ? value : native.convert(from, to, String(value).toWellFormed());
    };
  }
}
