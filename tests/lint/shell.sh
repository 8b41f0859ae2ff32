#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Does shellcheck agree with every script? Usage: shell.sh ROOT
set -euo pipefail

root=$1
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

skip_without shellcheck
cd "$root"
mapfile -t files < <(find scripts tests docs -type f -name '*.sh' | sort)
shellcheck -x "${files[@]}" .ci/run
echo "$((${#files[@]} + 1)) scripts are fine"
