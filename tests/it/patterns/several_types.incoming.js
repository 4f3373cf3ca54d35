// One rule for several entity types, incoming: the kind of the remote item decides on the first sync, the record afterwards.
if (firstSync) entity.entityType = replica.type === 'task' ? 'Task' : 'Case';
entity.Subject = replica.summary;
switch (entity.entityType) {
  case 'Case':
    entity.Priority = replica.priority;
    break;
  case 'Task':
    entity.ActivityDate = nodeHelper.toDate(replica.due)?.toISOString().slice(0, 10);
    break;
  default:
    skip(`nothing is known about ${entity.entityType}`);
}
