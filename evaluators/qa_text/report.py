from promptflow_lite import log_metric, tool


@tool
def report(scores: list) -> dict:
    """Log the mean of each score over the lines that have it, and how many those are."""
    scored = [line for line in scores if line["f1"] is not None]
    facts = [line["key_fact"] for line in scores if line["key_fact"] is not None]
    means = {
        name: mean([line[name] for line in scored]) for name in ("exact_match", "f1", "rouge_l") if scored
    }
    if facts:
        means |= {"key_fact": mean(facts), "with_key_fact": len(facts)}
    means |= {"scored": len(scored), "skipped": len(scores) - len(scored)}
    for name, value in means.items():
        log_metric(name, value)
    return means


def mean(values: list) -> float:
    return sum(values) / len(values)
