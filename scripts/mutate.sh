#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Applies one-line faults to core/, virtio/ and dma/ one by one and counts how many
# the suites notice. usage: scripts/mutate.sh [--list] [NUMBER|FOLDER|FILE...]
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 scripts/mutate.py "$@"
