// Custom fields, incoming: copied by the tracker's own names, the empty ones cleared, those not sent left alone.
entity.Region__c = replica.region;
entity.Product__c = replica.custom?.product ?? null;
entity.Severity__c = Number(replica.custom?.severity ?? 3);
entity.Tags__c = (replica.labels ?? []).join(';');
