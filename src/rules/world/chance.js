// Time and chance. A run that is repeated sees the same hour and draws the same numbers, or what it did before could not be
// told from what it does anew. Filters have no run, and get the engine's own.
let run = null;

{
  const EngineDate = Date, { random: engineRandom, imul } = Math;
  const now = () => run?.now ?? EngineDate.now();
  const construct = Reflect.construct;
  function RunDate(...given) {
    if (new.target === undefined) return new EngineDate(now()).toString();
    return construct(EngineDate, given.length === 0 ? [now()] : given, new.target);
  }
  defineProperty(RunDate, 'name', { value: 'Date' });
  defineProperty(RunDate, 'length', { value: 7 });
  defineProperty(RunDate, 'prototype', { value: EngineDate.prototype, writable: false });
  for (const name of ['UTC', 'parse']) defineProperty(RunDate, name, { value: EngineDate[name] });
  defineProperty(RunDate, 'now', { value: () => now() });
  defineProperty(EngineDate.prototype, 'constructor', { value: RunDate });
  globalThis.Date = RunDate;

  // Mulberry32.
  Math.random = () => {
    if (typeof run?.seed !== 'number') return engineRandom();
    run.seed = (run.seed + 0x6d2b79f5) | 0;
    let t = imul(run.seed ^ (run.seed >>> 15), run.seed | 1);
    t ^= t + imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
