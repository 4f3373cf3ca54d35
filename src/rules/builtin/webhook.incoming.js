// Replica → issue.
if (replica.deleted) {
  log.info('the other side deleted its record; this one stays as it is');
  return;
}
if (firstSync) entity.entityType = 'issue';
// What the other side does not send is undefined, and assigning undefined leaves a field alone; null clears it.
entity.summary = replica.summary;
entity.description = replica.description;
entity.status = replica.status;
entity.priority = replica.priority;
