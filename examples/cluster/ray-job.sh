#!/bin/bash
# A training on a Ray cluster that runs already: examples/cluster/ray-job.sh http://127.0.0.1:8265
#
# Ray's job server is its dashboard, which the cluster must have and must keep to itself: reach it through a tunnel
# (ssh -L 8265:127.0.0.1:8265 HEAD), with the cluster's token. The command runs on the cluster's head; the run folder
# lies there. Given again, it resumes.
set -euo pipefail

SERVER=${1:-http://127.0.0.1:8265}
WORKERS=${WORKERS:-8}
RUN=${RUN:-runs/job}
DATA=${DATA:?set DATA to a file of passages on the head}
: "${RAY_AUTH_TOKEN:?set RAY_AUTH_TOKEN to the token of the cluster}"
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

ray job submit --address "$SERVER" --submission-id "selfedit-$(date +%s)" -- \
  selfedit train --recipe paper --data "$DATA" --executor ray --ray-address auto --workers "$WORKERS" --cut-for 8 --run "$RUN"
