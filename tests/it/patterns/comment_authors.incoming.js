// Prefixing comments with authors, incoming: every comment shows who wrote it, ours do not come back, internal stays internal.
commentHelper.mergeComments(entity, replica, (comment, original) => {
  if (comment.author?.email?.endsWith('@acme.example')) return false;
  comment.body = `[${comment.author?.name ?? 'somebody'} wrote] ${comment.body}`;
  comment.internal = original.internal;
});
