// Truncation, incoming: a long text is cut to what the fields take.
entity.Subject = nodeHelper.fit(replica.summary, 40);
entity.Short__c = nodeHelper.fit(nodeHelper.stripHtml(replica.description), 20, '…');
if (replica.summary.length > 40) log.info('the subject was cut from', replica.summary.length, 'letters');
