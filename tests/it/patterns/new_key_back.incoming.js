// Sync back of the new key, incoming: once the record is made here, the other side hears its key.
if (firstSync) {
  entity.entityType = 'Case';
  syncHelper.syncBackAfterProcessing();
}
entity.Subject = replica.summary;
