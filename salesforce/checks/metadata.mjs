// Holds every metadata file below a folder against the types that Salesforce publishes: known elements, required ones,
// kinds of values, listed values. Usage: node metadata.mjs FOLDER METADATA.D.TS
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const [folder, typesFile] = process.argv.slice(2);

/** Types by name: { base, members: name → { type, many, needed } } or { values }. */
function readTypes(text) {
    const types = new Map();
    for (const [, name, values] of text.matchAll(/^export type (\w+) = ((?:'[^']*'(?: \| )?)+);$/gm)) {
        types.set(name, { values: [...values.matchAll(/'([^']*)'/g)].map(([, value]) => value) });
    }
    for (const [, name, base, body] of text.matchAll(/^export type (\w+) = (?:(\w+) & )?\{\n([^}]*)\};$/gm)) {
        const members = new Map();
        for (const [, member, optional, type, many] of body.matchAll(/^ {4}(\w+)(\?)?: (\w+)(\[\])?;$/gm)) {
            members.set(member, { type, many: Boolean(many), needed: !optional && !many });
        }
        types.set(name, { base, members });
    }
    for (const [, name, base] of text.matchAll(/^export type (\w+) = (\w+);$/gm)) types.set(name, { base, members: new Map() });
    return types;
}

function membersOf(types, name) {
    const { base, members } = types.get(name);
    return base ? new Map([...membersOf(types, base), ...members]) : members;
}

/** A small reader for what metadata uses: elements, attributes, text. */
function readXml(text) {
    const root = { children: [] };
    const open = [root];
    for (const [, close, name, attributes, self, between] of text.matchAll(/<(\/?)([\w]+)([^>]*?)(\/?)>([^<]*)/g)) {
        if (close) {
            const closed = open.pop();
            if (closed.name !== name) throw new Error(`</${name}> closes <${closed.name}>`);
        } else {
            const element = { name, attributes, children: [], text: between.trim() };
            open.at(-1).children.push(element);
            if (!self) open.push(element);
        }
    }
    if (open.length !== 1) throw new Error(`<${open.at(-1).name}> is not closed`);
    return root.children[0];
}

const PLAIN = { boolean: /^(true|false)$/, number: /^-?\d+(\.\d+)?$/, string: /[^]/ };

function check(types, type, element, path, found) {
    const known = types.get(type);
    if (PLAIN[type]) {
        if (!PLAIN[type].test(element.text)) found.push(`${path}: \`${element.text}\` is no ${type}`);
    } else if (known?.values) {
        if (!known.values.includes(element.text)) found.push(`${path}: \`${element.text}\` is none of ${known.values.join(', ')}`);
    } else if (known) {
        const members = membersOf(types, type);
        const seen = new Set();
        for (const child of element.children) {
            const member = members.get(child.name);
            if (!member) {
                found.push(`${path}: ${type} has no ${child.name}`);
                continue;
            }
            if (seen.has(child.name) && !member.many) found.push(`${path}: ${child.name} twice`);
            seen.add(child.name);
            check(types, member.type, child, `${path}/${child.name}`, found);
        }
        members.forEach(({ needed }, name) => {
            if (needed && !seen.has(name)) found.push(`${path}: ${name} is missing`);
        });
    }
}

const types = readTypes(readFileSync(typesFile, 'utf8'));
// A bundle's configuration is a text to the types: its form is checked by the compiler of components.
types.get('LightningComponentBundle').members.delete('targetConfigs');
const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('-meta.xml') && !file.includes('node_modules'));
const found = [];
for (const file of files) {
    try {
        const root = readXml(readFileSync(join(folder, file), 'utf8').replace(/<\?[^]*?\?>/, ''));
        if (root.name === 'LightningComponentBundle') root.children = root.children.filter(({ name }) => name !== 'targetConfigs');
        if (types.get(root.name)?.members) check(types, root.name, root, file, found);
        else found.push(`${file}: no type ${root.name}`);
    } catch (error) {
        found.push(`${file}: ${error.message}`);
    }
}
if (files.length === 0) found.push(`no metadata below ${folder}`);
found.forEach((fault) => console.error(fault));
console.log(`${files.length} files of metadata, ${found.length} faults`);
process.exit(found.length === 0 ? 0 : 1);
