//! What the engine keeps between runs: nothing that a script could reach is left open.

use rquickjs::Coerced;

use std::rc::Rc;

use super::{
    super::{pipe::Pipe, realm::Realm},
    *,
};

/// Walks all that can be reached, as the prelude does, but by itself.
const WALK: &str = r"
    const seen = new Set(), open = [[globalThis, 'globalThis']], bad = [], setters = new Set();
    const say = (from, name) => from + '.' + String(name);
    const made = [function* () {}, async () => {}, async function* () {}, [].values(), [].values().map(x => x), [].values().filter(x => x),
        [].values().take(1), [].values().drop(1), [].values().flatMap(x => [x]), 'a'[Symbol.iterator](), 'a'.matchAll(/a/g),
        new Map().entries(), new Set().keys(), Iterator.from({ next() {} }), Iterator.concat([]), /a/, new Date(), 1n, Symbol('a'),
        Promise.resolve(), new WeakMap(), new WeakSet(), new Proxy({}, {}), new DisposableStack(), new Error('a'),
        (function () { return arguments; })()];
    for (const one of made) open.push([Object.getPrototypeOf(one), 'a prototype of ' + typeof one]);
    const meet = (value, path) => {
        if ((typeof value === 'object' && value !== null || typeof value === 'function') && !seen.has(value)) {
            seen.add(value); open.push([value, path]);
        }
    };
    while (open.length) {
        const [one, path] = open.pop();
        if (!Object.isFrozen(one)) bad.push(path);
        meet(Object.getPrototypeOf(one), say(path, '[[Prototype]]'));
        for (const name of Reflect.ownKeys(one)) {
            const found = Object.getOwnPropertyDescriptor(one, name);
            meet(found.value, say(path, name)); meet(found.get, say(path, name)); meet(found.set, say(path, name));
            if (found.set && !/belongs to the language/.test(String(found.set))) setters.add(String(name));
        }
    }
    [seen.size > 500, ...bad, 'setters', ...[...setters].sort()].join('\n')";

#[test]
fn everything_that_scripts_can_reach_is_frozen() {
    let realm = Realm::new(&Rc::new(Pipe::new(io::empty(), io::sink()))).expect("an engine");
    let found = realm.within(Duration::from_secs(9), |ctx| ctx.eval::<Coerced<String>, _>(WALK).map(|found| found.0));
    // These keep nothing: each sets on the object that it is called for, and ours are frozen.
    let setters = ["Symbol(Symbol.toStringTag)", "__proto__", "arguments", "caller", "constructor", "stack"];
    assert_eq!(found.expect("runs"), [&["true", "setters"], setters.as_slice()].concat().join("\n"));
}

#[tokio::test]
async fn what_people_write_works_in_a_frozen_world() {
    let source = "class Mine extends Error { constructor(m) { super(m); this.name = 'Mine' } toString() { return 'mine ' + this.message } }
        const e = new Mine('a'); e.message = 'b'; replica.e = String(e);
        const map = { constructor: 1 }; map.toString = () => 'own'; map.valueOf = 2; replica.m = String(map) + map.valueOf;
        function Old() {} Old.prototype.toString = () => 'old'; Old.prototype.constructor = Old; replica.o = String(new Old());
        const list = [3, 1]; list.push(2); replica.l = list.sort((a, b) => a - b); replica.p = [...new Set([1, 1])].length;
        replica.toString = 'a'; replica.hasOwnProperty = 'b'; replica.constructor = 'c';";
    let expected = json!({"e": "mine b", "m": "own2", "o": "old", "l": [1, 2, 3], "p": 1, "toString": "a", "hasOwnProperty": "b",
        "constructor": "c"});
    assert_eq!(replica_of(source).await, Ok(expected));
}
