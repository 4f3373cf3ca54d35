// The record's owner is the user with the other side's assignee's address; where there is none, the desk.
if (firstSync) entity.entityType = 'Case';
entity.Subject = replica.summary;
const owner = nodeHelper.getUserByEmail(replica.assignee?.email) ?? nodeHelper.getUserByEmail('desk@acme.example');
if (owner) entity.OwnerId = owner.Id;
else log.warn('neither', replica.assignee?.email, 'nor the desk has a user here');
