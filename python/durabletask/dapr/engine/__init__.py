"""The modules that Dapr's SDK finds under the names of its own engine's; each is run under that name."""
