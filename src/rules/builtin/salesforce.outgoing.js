// Case → replica.
replica.key = entity.Id;
replica.summary = entity.Subject;
replica.description = entity.Description;
replica.status = entity.Status;
replica.priority = entity.Priority;
