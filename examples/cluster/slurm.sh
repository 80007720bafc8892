#!/bin/bash
# A training on four machines of SLURM with four GPUs each: sbatch examples/cluster/slurm.sh
#
# Ray's head runs on the first machine and has no dashboard; whoever speaks to it needs a token, which is made here, for
# this job alone. The command itself runs on the first machine and is the only one that writes the run folder. Where the
# job's time ends, or a machine is lost, the job is queued again and the same command resumes.
#SBATCH --job-name=selfedit
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail

WORKERS=$((SLURM_JOB_NUM_NODES * 4))
RUN=${RUN:-runs/slurm}
DATA=${DATA:?set DATA to a file of passages}
PORT=$((20000 + SLURM_JOB_ID % 20000))

RAY_AUTH_TOKEN=$(openssl rand -hex 32)
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

mapfile -t machines < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${machines[0]}
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

start=(ray start --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus=4 --disable-usage-stats --block)
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
  "${start[@]}" --head --node-ip-address="$head_ip" --port="$PORT" --include-dashboard=false &
sleep 20
if [ "${#machines[@]}" -gt 1 ]; then
  others=$(IFS=,; echo "${machines[*]:1}")
  srun --overlap --nodes=$((${#machines[@]} - 1)) --ntasks-per-node=1 --nodelist="$others" \
    "${start[@]}" --address="$head_ip:$PORT" &
  sleep 20
fi

status=0
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
  selfedit train --recipe paper --data "$DATA" --executor ray --ray-address "$head_ip:$PORT" --workers "$WORKERS" --cut-for 16 --run "$RUN" &
command=$!
trap 'kill -TERM "$command"' TERM
wait "$command" || status=$?
wait "$command" || true # a signal ends the first wait before the command has ended
if [ "$status" -eq 130 ] || [ "$status" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
