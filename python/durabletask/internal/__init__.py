"""Names that packages built on this one reach for; not meant for programs."""
