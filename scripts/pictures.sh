#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Draws the pictures of docs/pictures/ anew, or somewhere else; a test compares.
# Usage: pictures.sh VMEMCTL [FOLDER]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
vmemctl=$1
folder=${2:-$root/docs/pictures}

for name in basic_movable frag_kernel migration_busy; do
    "$vmemctl" replay --touch --svg "$folder/$name.svg" \
        "$root/tests/data/traces/${name}_61.trace" >/dev/null
done
# What scripts/demo-guest.sh --auto recorded.
"$vmemctl" replay --touch --svg "$folder/demo_guest.svg" \
    "$root/docs/pictures/demo_guest.trace" >/dev/null
"$vmemctl" sim --pattern slab --size 1G --resize 768M,256M,reboot,512M,0 \
    --touch --fail discard:3 --fail busy:45-55 --svg "$folder/sim_slab.svg" \
    >/dev/null
