"""What people see."""

NOUN = JUDGED = "character"
FORMATS = {
    "lines": lambda rows, model, read: (f"{row['text']}|{row['continued']}\n" for row in rows)
}


def data_line(split, learner):
    return f"{len(learner.characters)} different characters"


def network_line(learner):
    return f"{learner.options.hidden_size} units"


def findings(found, *, width):
    yield f"{found.rows} lines"


def verdict(report):
    return ()


def suggestion(report, model):
    return f"elman predict {model} ka"


def evaluation(scores, *, width, sizes=None, model=None):
    yield f"{scores.nats:.3f} nats a character"


def answer(row, model, *, width):
    yield f"{row['text']}: {row['continued']}"


def fields(row, *, inputs):
    text = {"text": row["text"]} if inputs else {}
    return {**text, "continued": row["continued"]}


def truncated(count, model):
    return ""
