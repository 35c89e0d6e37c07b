"""One file a variant: a function of the file's name under `@register(...)`, and nothing else."""
