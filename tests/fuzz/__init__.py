"""The embedded sidecar under calls that are valid in form and senseless in content."""
