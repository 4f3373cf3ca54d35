// Adopting an existing record, incoming: the other side names our case in its summary, so that one becomes the twin.
const known = /\[(500[A-Za-z0-9]{15})\]/.exec(replica.summary);
if (firstSync && known) {
  syncHelper.linkTo(known[1]);
} else {
  entity.Subject = replica.summary;
}
