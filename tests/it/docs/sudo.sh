#!/usr/bin/env bash
# Stands for sudo in a network of the tests, where all commands run as root.
exec "$@"
