// What a rule calls. Made once for an engine; `run` is the run that is under way.
let run = null;
const done = freeze({});

const skip = (reason) => {
  run.skip ??= reason === undefined ? '' : text(reason);
  throw done;
};

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

const nodeHelper = {
  isListed(field, value) {
    const values = facts().listed?.[field];
    return !isArray(values) || values.includes(value);
  },
};
