#!/bin/sh
# The main job, from documents to scores: what `make demo` runs. Every line that starts with $ can be typed as it stands.
# It can be stopped and started again: a run goes on where it stopped, a finished one is not run again.
set -eu
cd "$(dirname "$0")/.."
unset OPENAI_API_KEY OPENAI_BASE_URL AZURE_OPENAI_API_KEY AZURE_OPENAI_ENDPOINT  # the demo costs nothing

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$'; for word in "$@"; do case $word in *[!A-Za-z0-9_./:=-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac; done; printf '\n'; "$@"; }

# Create the run NAME, or go on with it if it is there; a run of an older flow or older data is done anew.
run() {
  name=$1; shift
  code=0
  if pf run show "$name" >/dev/null 2>&1; then
    show pf run resume "$name" || code=$?
    if [ $code -eq 2 ]; then
      code=0
      show pf run delete "$name" --yes
      show pf run create --name "$name" "$@" || code=$?
    fi
  else
    show pf run create --name "$name" "$@" || code=$?
  fi
  [ $code -eq 0 ] || [ $code -eq 3 ] || exit $code
}

# Scoring takes a second and follows its base run, so it is always done anew.
score() {
  name=$1; shift
  if pf run show "$name" >/dev/null 2>&1; then pf run delete "$name" --yes >/dev/null; fi
  run "$name" "$@"
}

step "1. The embedded model: fetched once, kept in a cache, known by its hash"
show pf model pull qwen2.5-coder-0.5b

step "2. Indexes: a manual, and labelled messages that serve as examples"
show pf index build flows/support/manual --output flows/support/manual.index
show pf index build flows/support/examples.jsonl --output flows/support/examples.index
show pf index build flows/intent/examples.jsonl --output flows/intent/examples.index

step "3. One question to the support flow"
show pf flow show --source flows/support
show pf flow test --flow flows/support --inputs question="How often do I have to vacuum the pre-filter?"

step "4. The intents of customer messages, by three variants of one prompt, each scored"
for variant in zero_shot few_shot retrieved; do
  run "demo-$variant" --flow flows/intent --data flows/intent/data.jsonl --variant "\${examples.$variant}"
  score "demo-$variant-scores" --flow evaluators/classification --run "demo-$variant" \
    --column-mapping 'prediction=${run.outputs.intent}' 'ground_truth=${data.intent}'
done

step "5. A support chat over questions in English and Japanese: its intents and its answers scored"
run demo-support --flow flows/support --data flows/support/data.jsonl
score demo-support-intents --flow evaluators/classification --run demo-support \
  --column-mapping 'prediction=${run.outputs.intent}' 'ground_truth=${data.intent}'
score demo-support-answers --flow evaluators/qa_text --run demo-support \
  --column-mapping 'answer=${run.outputs.answer}' 'ground_truth=${data.ground_truth}' 'key_fact=${data.key_fact}'

step "Scores"
show pf run show-metrics demo-zero_shot-scores demo-few_shot-scores demo-retrieved-scores \
  --metric accuracy macro_f1 invalid scored
show pf run show-metrics demo-support-intents demo-support-answers \
  --metric accuracy key_fact f1 rouge_l exact_match scored

step "All of it is in MLflow: parameters, metrics, a table of every line, the flow itself. To open it:"
cat <<EOF
$ .venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db
and then http://127.0.0.1:5000 (experiments: intent, support)

To talk to the support flow, in English or Japanese:
$ .venv/bin/pf flow test --flow flows/support --interactive
EOF
