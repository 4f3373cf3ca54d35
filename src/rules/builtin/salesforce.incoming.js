// Replica → Case.
if (replica.deleted) {
  log.info('the other side deleted its record; this one stays as it is');
  return;
}
if (firstSync) {
  entity.entityType = 'Case';
  // Where the org does not list a value, its own default stands.
  if (nodeHelper.isListed('Origin', 'Web')) entity.Origin = 'Web';
  if (nodeHelper.isListed('Status', 'New')) entity.Status = 'New';
}
// What the other side does not send is undefined, and assigning undefined leaves a field alone; null clears it.
entity.Subject = replica.summary;
entity.Description = replica.description;
