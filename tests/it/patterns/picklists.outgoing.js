// Two-way picklists, outgoing: one list of pairs, the same text in both rules, read from left to right here.
const pairs = [['High', 'P1'], ['Medium', 'P2'], ['Low', 'P3']];
replica.priority = pairs.find(([ours]) => ours === entity.Priority)?.[1] ?? 'P3';
