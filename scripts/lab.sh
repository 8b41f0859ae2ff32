#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Boots a Debian kernel in an emulated machine and runs a static program in it;
# "lab.sh run --help" has the options, tests/lab/README.md the rest.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
exec python3 "$root/tests/lab/lab.py" "$@"
