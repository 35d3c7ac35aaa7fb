#!/bin/sh
# The same three at work together, by the command line. Uses a town of its own and cleans up after itself.
set -eu
checkout=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
bosun() { "$checkout/bin/bosun" "$@"; }

BOSUN_HOME=$(mktemp -d)
BOSUN_TOWN=mesh
BOSUN_TMUX_SOCKET=bosun-mesh-$$
export BOSUN_HOME BOSUN_TOWN BOSUN_TMUX_SOCKET
unset BOSUN_SOCKET BOSUN_TOKEN_FILE
trap 'bosun stop --quiet > /dev/null; rm -rf "$BOSUN_HOME"' EXIT
cd "$BOSUN_HOME"

# Session 1: the planner
bosun register planner-001 Planner Claude --user Alexa --quiet
bosun memory-set planner-001 project_plan '{"phase": "design", "tasks": ["architecture", "api-design", "database"]}' \
  --type state --tags project,active
bosun broadcast planner-001 "Project started" "Beginning design phase"

# Session 2: the developer reads the plan and asks about it
bosun register dev-001 Developer GPT-4 --user Alexa --quiet
bosun memory-get project_plan
bosun send dev-001 planner-001 "API design question" "Should we use REST or GraphQL?" --type request

# Session 3: the reviewer
bosun register reviewer-001 Reviewer Claude --user Alexa --quiet

# Later: the developer hands off to the reviewer, who accepts
bosun memory-set dev-001 api_code "class API..." --type state --tags code,ready-for-review
bosun send dev-001 reviewer-001 "Code review" "API implementation ready" --type task_offer \
  --data '{"files": ["api.py"], "tests": "passing"}'
bosun send reviewer-001 dev-001 "Starting review" "Will review and provide feedback" --type task_accept

bosun stats
