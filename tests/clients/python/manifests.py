"""Reads Kubernetes manifests from standard input, and prints them as JSON. Each is first validated against the strict schemas, which
refuse unknown fields, of the Kubernetes version that first had native sidecars by default, of the one that made them stable, and of
the newest one of the package."""

import json
import sys

import kubernetes_validate
import yaml

objects = list(yaml.safe_load_all(sys.stdin))
for version in "1.29", "1.33", "1.37":
    for manifest in objects:
        kubernetes_validate.validate(manifest, version, strict=True)
json.dump(objects, sys.stdout)
