// Status map, outgoing: our words become the other side's; what nobody thought of becomes `Open` and is logged.
const states = { New: 'Open', Working: 'In Progress', Escalated: 'In Progress', Closed: 'Done' };
replica.summary = entity.Subject;
replica.status = states[entity.Status] ?? 'Open';
if (!(entity.Status in states)) log.warn('no status is mapped from', entity.Status);
