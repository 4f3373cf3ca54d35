// A sub-task hangs below its parent's Case. Where the parent is not here yet, the rule runs again when it is.
if (firstSync) entity.entityType = 'Case';
entity.Subject = replica.summary;
if (replica.parentId) {
  const parent = nodeHelper.getLocalIssueKeyFromRemoteId(replica.parentId, 'Case');
  if (parent) entity.ParentId = parent;
  else log.info('waits for', replica.parentId);
}
