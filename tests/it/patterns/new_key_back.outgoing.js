// The other half of it, outgoing: the key travels with every replica.
replica.key = entity.key;
replica.summary = entity.Subject;
