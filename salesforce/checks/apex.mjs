// Reads every Apex class below a folder with a grammar of the language: what does not parse is told by line.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { ApexParserFactory, ApexErrorListener } from '@apexdevtools/apex-parser';

class Faults extends ApexErrorListener {
    constructor(file, found) {
        super();
        this.file = file;
        this.found = found;
    }

    apexSyntaxError(line, column, message) {
        this.found.push(`${this.file}:${line}:${column}: ${message}`);
    }
}

const folder = process.argv[2];
const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.cls'));
const found = [];
for (const file of files) {
    const parser = ApexParserFactory.createParser(readFileSync(join(folder, file), 'utf8'));
    parser.removeErrorListeners();
    parser.addErrorListener(new Faults(file, found));
    parser.compilationUnit();
}
if (files.length === 0) found.push(`no class below ${folder}`);
found.forEach((fault) => console.error(fault));
process.exit(found.length === 0 ? 0 : 1);
