// Conditional skip, outgoing: internal cases never leave, and a case that only changed its owner says nothing.
if (entity.Origin === 'Internal') skip('internal cases stay here');
const told = ['Subject', 'Status', 'Description'];
if (!firstSync && !entity.changed.some((name) => told.includes(name))) skip(`nothing for the other side in ${entity.changed.join(', ')}`);
replica.summary = entity.Subject;
replica.status = entity.Status;
