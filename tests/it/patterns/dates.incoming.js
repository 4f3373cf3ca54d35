// Date conversion, incoming: any form becomes a date, a date field gets the day and a date-time field the moment.
const due = nodeHelper.toDate(replica.due);
entity.Due_Date__c = due?.toISOString().slice(0, 10) ?? null;
entity.Due_At__c = due;
entity.Overdue__c = due !== null && due < nodeHelper.toDate(replica.now);
