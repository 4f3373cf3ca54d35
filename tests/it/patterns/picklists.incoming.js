// Two-way picklists, incoming: from right to left; what has no pair, or is not in the picklist here, changes nothing.
const pairs = [['High', 'P1'], ['Medium', 'P2'], ['Low', 'P3']];
const ours = pairs.find(([, theirs]) => theirs === replica.priority)?.[0];
if (ours && nodeHelper.isListed('Priority', ours)) entity.Priority = ours;
